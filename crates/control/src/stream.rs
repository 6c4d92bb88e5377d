//! The WebSocket server that the eCaptureQ GUI connects to: one message is one `LogEntry`.

use crate::access::Access;
use crate::connection::Place;
use crate::hub::{Hub, Message, Subscription};
use crate::server::Encode;
use axum::Router;
use axum::body::Bytes;
use axum::extract::ws::{self, WebSocket, WebSocketUpgrade};
use axum::extract::{Extension, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

const HEARTBEAT: Duration = Duration::from_secs(15);
/// A client that takes nothing for so long is gone.
const STUCK: Duration = Duration::from_mins(1);
/// Clients have nothing to say.
const LONGEST_MESSAGE: usize = 4 << 10;

#[derive(Clone)]
struct Shared {
    hub: Hub,
    encode: Arc<dyn Encode>,
}

pub(crate) fn router(hub: Hub, encode: Arc<dyn Encode>, access: Arc<Access>) -> Router {
    Router::new()
        .route("/", get(connect))
        .with_state(Shared { hub, encode })
        .layer(from_fn_with_state(access, check))
}

async fn check(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    match access.check(request.headers(), request.uri(), true) {
        Ok(()) => next.run(request).await,
        Err(refusal) => (refusal.status(), refusal.reason()).into_response(),
    }
}

async fn connect(
    State(Shared { hub, encode }): State<Shared>,
    Extension(place): Extension<Place>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let Some(subscription) = hub.subscribe() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many clients").into_response();
    };
    upgrade.max_message_size(LONGEST_MESSAGE).max_frame_size(LONGEST_MESSAGE).on_upgrade(
        async move |socket| {
            talk(socket, &subscription, encode.as_ref()).await;
            drop(place);
        },
    )
}

/// Sends until the client is gone.
async fn talk(mut socket: WebSocket, subscription: &Subscription, encode: &dyn Encode) {
    let mut ticks = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut count = 1;
    let mut message = heartbeat(encode, count);
    loop {
        match timeout(STUCK, socket.send(ws::Message::Binary(message))).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return,
        }
        message = loop {
            break tokio::select! {
                _ = ticks.tick() => {
                    count += 1;
                    heartbeat(encode, count)
                }
                said = socket.recv() => match said {
                    // What a client says means nothing, pings are answered by the library.
                    Some(Ok(ws::Message::Close(_)) | Err(_)) | None => return,
                    Some(Ok(_)) => continue,
                },
                message = subscription.next() => match message {
                    Message::Event(bytes) => bytes,
                    Message::Log(line) => encode.log(&line).into(),
                },
            };
        };
    }
}

fn heartbeat(encode: &dyn Encode, count: i64) -> Bytes {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    encode.heartbeat(now.as_secs() as i64, count, &format!("heartbeat:{count}")).into()
}
