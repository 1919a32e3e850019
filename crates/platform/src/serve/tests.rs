#![allow(clippy::unwrap_used)]

use axum::routing::{get, post};
use tokio::io::AsyncReadExt as _;
use tokio::sync::Notify;

use super::*;

async fn start(limits: ServeLimits, router: Router) -> (SocketAddr, Stop, tokio::task::JoinHandle<Drained>) {
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), limits).await.unwrap();
    let (addr, stop) = (server.local_addr().unwrap(), Stop::default());
    let running = tokio::spawn(server.run(router, stop.clone()));
    (addr, stop, running)
}

fn small() -> ServeLimits {
    ServeLimits { head_ms_max: 100, body_ms_max: 100, write_ms_max: 200, drain_ms_max: 300, ..ServeLimits::default() }
}

/// Sends the text and reads until the server closes.
async fn until_closed(addr: SocketAddr, text: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut got = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut got)).await.expect("it is closed");
    String::from_utf8(got).unwrap()
}

fn router() -> Router {
    Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/take", post(|body: Bytes| async move { body.len().to_string() }))
}

#[tokio::test]
async fn slow_and_idle_clients_are_dropped() {
    let (addr, _stop, _running) = start(small(), router()).await;
    assert_eq!(until_closed(addr, "").await, "", "says nothing");
    let head = until_closed(addr, "GET / HTTP/1.1\r\nhos").await;
    assert!(!head.contains("hello"), "{head}");
    let idle = until_closed(addr, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(idle.starts_with("HTTP/1.1 200") && idle.ends_with("hello"), "{idle}");
    let body = until_closed(addr, "POST /take HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nabc").await;
    assert!(body.starts_with("HTTP/1.1 400"), "{body}");
}

#[tokio::test]
async fn large_heads_are_refused() {
    let (addr, _stop, _running) = start(small(), router()).await;
    let long = until_closed(addr, &format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(40_000))).await;
    assert!(long.starts_with("HTTP/1.1 431") || long.is_empty(), "{long}");
    let many = until_closed(addr, &format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(200))).await;
    assert!(many.starts_with("HTTP/1.1 431") || many.is_empty(), "{many}");
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_its_answer_is_dropped() {
    let big = Router::new().route("/", get(|| async { vec![b'x'; 64 << 20] }));
    let (addr, stop, running) = start(small(), big).await;
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(600)).await;
    stop.stop();
    assert_eq!(running.await.unwrap(), Drained { cut: 0 }, "it was gone before the drain");
}

#[tokio::test]
async fn a_connection_over_the_limit_is_told_so() {
    let (addr, _stop, _running) = start(ServeLimits { connections_max: 1, ..small() }, router()).await;
    let mut first = TcpStream::connect(addr).await.unwrap();
    first.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut some = [0; 16];
    first.read_exact(&mut some).await.unwrap();
    assert!(until_closed(addr, "").await.starts_with("HTTP/1.1 503"));
}

#[tokio::test]
async fn a_stopping_server_finishes_what_is_under_way() {
    let (begun, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (began, goes) = (Arc::clone(&begun), Arc::clone(&go));
    let handler = move || async move {
        began.notify_one();
        goes.notified().await;
        "done"
    };
    let (addr, stop, running) = start(small(), Router::new().route("/", get(handler.clone()))).await;
    let client = tokio::spawn(async move { until_closed(addr, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await });
    begun.notified().await;
    stop.stop();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(TcpStream::connect(addr).await.is_err(), "nobody else is taken");
    go.notify_one();
    assert!(client.await.unwrap().ends_with("done"));
    assert_eq!(running.await.unwrap(), Drained { cut: 0 });

    let (addr, stop, running) = start(small(), Router::new().route("/", get(handler))).await;
    let client = tokio::spawn(async move { until_closed(addr, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await });
    begun.notified().await;
    stop.stop();
    assert_eq!(running.await.unwrap(), Drained { cut: 1 }, "whoever never ends is cut");
    assert_eq!(client.await.unwrap(), "");
}
