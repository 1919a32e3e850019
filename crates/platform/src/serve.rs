//! The HTTP/1.1 server: bound first, then served, then drained.
//!
//! Everything that a client can do slowly has a time, and everything it can send has a size. A connection over the
//! limit is told 503 and closed at once.

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::Sleep;
use tower::Service as _;

use crate::service::Stop;

/// What the server allows its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServeLimits {
    /// Connections open at a time.
    pub connections_max: usize,
    /// Bytes of a request's head.
    pub head_bytes_max: usize,
    /// Headers of a request.
    pub headers_max: usize,
    /// How long a request's head may take, and how long a connection may be idle.
    pub head_ms_max: u64,
    /// How long a request's body may take.
    pub body_ms_max: u64,
    /// How long a client may take nothing of its answer.
    pub write_ms_max: u64,
    /// How long calls under way may take to finish when the server stops.
    pub drain_ms_max: u64,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            connections_max: 4_096,
            head_bytes_max: 16 * 1_024,
            headers_max: 64,
            head_ms_max: 15_000,
            body_ms_max: 20_000,
            write_ms_max: 20_000,
            drain_ms_max: 10_000,
        }
    }
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that had to be cut.
    pub cut: usize,
}

/// A bound server.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    limits: ServeLimits,
}

impl Server {
    /// Takes the address. Nobody is answered before [`Server::run`], so the port is known to be ours before work starts.
    ///
    /// # Errors
    /// The address is taken or not of this machine.
    pub async fn bind(addr: SocketAddr, limits: ServeLimits) -> io::Result<Server> {
        Ok(Server { listener: TcpListener::bind(addr).await?, limits })
    }

    /// The address it is bound to.
    ///
    /// # Errors
    /// The operating system doesn't say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop`; then takes nobody, lets calls under way finish, and cuts those that take too long.
    pub async fn run(self, router: Router, stop: Stop) -> Drained {
        let places = Arc::new(Semaphore::new(self.limits.connections_max));
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = stop.wait() => break,
                Some(_) = connections.join_next() => {}
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => match Arc::clone(&places).try_acquire_owned() {
                        Ok(place) => {
                            connections.spawn(serve_connection(stream, router.clone(), self.limits, stop.clone(), place));
                        }
                        Err(_) => refuse(stream),
                    },
                    Err(e) => {
                        tracing::warn!(error = %e, "could not accept a connection");
                        tokio::time::sleep(Duration::from_millis(50)).await; // out of file descriptors, most likely
                    }
                },
            }
        }
        drop(self.listener);
        let drain = Duration::from_millis(self.limits.drain_ms_max);
        let finish = async { while connections.join_next().await.is_some() {} };
        let in_time = tokio::time::timeout(drain, finish).await.is_ok();
        let cut = if in_time { 0 } else { connections.len() };
        connections.shutdown().await;
        Drained { cut }
    }
}

/// Tells a client that there is no room, as far as the socket takes it without waiting.
fn refuse(stream: TcpStream) {
    const FULL: &[u8] =
        b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    tokio::spawn(async move {
        let mut stream = stream;
        let _ = tokio::time::timeout(Duration::from_millis(100), stream.write_all(FULL)).await;
    });
}

async fn serve_connection(
    stream: TcpStream,
    router: Router,
    limits: ServeLimits,
    stop: Stop,
    _place: OwnedSemaphorePermit,
) {
    let _ = stream.set_nodelay(true); // without it small answers wait for the client's acknowledgement
    let body_time = Duration::from_millis(limits.body_ms_max);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut router = router.clone();
        let request = request.map(|body| {
            if body.is_end_stream() {
                Body::empty()
            } else {
                Body::new(TimedBody { body, time: body_time, sleep: None })
            }
        });
        async move { router.call(request).await }
    });
    let io = TimedIo { io: TokioIo::new(stream), time: Duration::from_millis(limits.write_ms_max), sleep: None };
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(limits.head_ms_max))
        .max_buf_size(limits.head_bytes_max)
        .max_headers(limits.headers_max)
        .pipeline_flush(true);
    let mut connection = pin!(builder.serve_connection(io, service));
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = stop.wait() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(e) = ended {
        tracing::debug!(error = %e, "a connection ended early"); // the client's doing, not ours
    }
}

/// A body that must arrive within its time. The timer is made only when the body has to be waited for.
struct TimedBody {
    body: Incoming,
    time: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl HttpBody for TimedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            return Poll::Ready(frame.map(|frame| frame.map_err(io::Error::other)));
        }
        let time = this.time;
        let sleep = this.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(time)));
        ready!(sleep.as_mut().poll(cx));
        Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::TimedOut, "the body took too long"))))
    }
    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A socket whose writes fail when the client takes nothing for too long.
struct TimedIo {
    io: TokioIo<TcpStream>,
    time: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl TimedIo {
    fn timed<T>(&mut self, cx: &mut Context<'_>, done: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if done.is_ready() {
            self.sleep = None;
            return done;
        }
        let time = self.time;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(time)));
        ready!(sleep.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing")))
    }
}

impl Read for TimedIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_read(cx, buf)
    }
}

impl Write for TimedIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let done = Pin::new(&mut this.io).poll_write(cx, buf);
        this.timed(cx, done)
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let done = Pin::new(&mut this.io).poll_flush(cx);
        this.timed(cx, done)
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let done = Pin::new(&mut this.io).poll_write_vectored(cx, bufs);
        this.timed(cx, done)
    }
}

#[cfg(test)]
mod tests;
