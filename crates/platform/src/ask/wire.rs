//! The way to another service: straight into its router, or over a pooled connection.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::uri::{Authority, Scheme};
use axum::http::{Request, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tower::ServiceExt as _;

use super::{Call, Reply};
use crate::http::REPLAY_HEADER;

/// Largest answer that is read, bytes.
pub const REPLY_BYTES_MAX: usize = 8 << 20;
/// How long making a connection may take, in milliseconds.
const CONNECT_MS_MAX: u64 = 2_000;
/// Idle connections kept to one service.
const IDLE_CONNECTIONS_MAX: usize = 64;
/// How long an idle connection is kept, in milliseconds: less than the server's own patience.
const IDLE_MS_MAX: u64 = 10_000;

pub(super) type Client = hyper_util::client::legacy::Client<HttpConnector, Full<Bytes>>;

/// What a simulation lets happen to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// As sent.
    Arrives,
    /// It never arrives, and its caller doesn't know.
    Lost,
    /// It takes effect, but its answer is lost.
    AnswerLost,
    /// It arrives twice; the second answer is the one.
    Twice,
    /// There was no connection: it surely did not arrive, and its caller knows.
    Never,
    /// It arrives late, or would, had its caller waited.
    Late(Duration),
    /// It arrives, and its answer comes late.
    Slow(Duration),
}

/// Decides the fate of calls.
pub trait Meddler: Send + Sync {
    /// The fate of a call of `caller`.
    fn fate(&self, caller: &str, call: &Call<'_>) -> Fate;
}

/// What is known after sending.
pub(super) enum Sent {
    /// There was an answer.
    Answer(Reply),
    /// It surely did not arrive.
    Never(String),
    /// It may have arrived.
    Lost(String),
}

/// A way to one service.
#[derive(Clone)]
pub(super) enum Wire {
    Here(Router),
    There(Scheme, Authority),
}

pub(super) fn client() -> Client {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(Duration::from_millis(CONNECT_MS_MAX)));
    hyper_util::client::legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_millis(IDLE_MS_MAX))
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
        // The library would send a request again by itself; here only this crate decides that.
        .retry_canceled_requests(false)
        .build(connector)
}

impl Wire {
    pub(super) fn there(base: &str) -> Result<Wire, String> {
        let uri: Uri = base.parse().map_err(|e| format!("can't be read: {e}"))?;
        let parts = uri.into_parts();
        let bare = parts.path_and_query.is_none_or(|path| path.as_str() == "/");
        match (parts.scheme, parts.authority) {
            (Some(scheme), Some(authority)) if scheme == Scheme::HTTP && bare => Ok(Wire::There(scheme, authority)),
            _ => Err("must be like http://host:port, without a path".to_owned()),
        }
    }

    pub(super) async fn send(&self, client: &Client, request: Request<Bytes>, fate: Fate) -> Sent {
        match fate {
            Fate::Arrives => self.deliver(client, request).await,
            Fate::Lost => Sent::Lost("the call was lost".to_owned()),
            Fate::AnswerLost => {
                let _ = self.deliver(client, request).await;
                Sent::Lost("the answer was lost".to_owned())
            }
            Fate::Never => Sent::Never("there was no connection".to_owned()),
            Fate::Late(by) => {
                tokio::time::sleep(by).await;
                self.deliver(client, request).await
            }
            Fate::Slow(by) => {
                let sent = self.deliver(client, request).await;
                tokio::time::sleep(by).await;
                sent
            }
            Fate::Twice => {
                let _ = self.deliver(client, request.clone()).await;
                self.deliver(client, request).await
            }
        }
    }

    async fn deliver(&self, client: &Client, request: Request<Bytes>) -> Sent {
        let (scheme, authority) = match self {
            Wire::Here(router) => {
                let answered = router.clone().oneshot(request.map(Body::from)).await;
                return match answered {
                    Ok(response) => read(response).await,
                    Err(never) => match never {},
                };
            }
            Wire::There(scheme, authority) => (scheme, authority),
        };
        let mut request = request.map(Full::new);
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        (parts.scheme, parts.authority) = (Some(scheme.clone()), Some(authority.clone()));
        match Uri::from_parts(parts) {
            Ok(uri) => *request.uri_mut() = uri,
            Err(e) => return Sent::Never(format!("the address can't be written: {e}")),
        }
        match client.request(request).await {
            Ok(response) => read(response).await,
            Err(e) if e.is_connect() => Sent::Never(format!("no connection to {authority}")),
            Err(e) => Sent::Lost(format!("the connection to {authority} failed: {e}")),
        }
    }
}

async fn read<B>(response: axum::http::Response<B>) -> Sent
where
    B: hyper::body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let status = response.status().as_u16();
    let replay = response.headers().get(REPLAY_HEADER).is_some_and(|value| value == "true");
    match Limited::new(response.into_body(), REPLY_BYTES_MAX).collect().await {
        Ok(body) => Sent::Answer(Reply { status, body: body.to_bytes(), replay }),
        Err(_) => Sent::Lost("the answer broke off or is too large".to_owned()),
    }
}
