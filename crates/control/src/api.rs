//! The HTTP interface: one endpoint for each module, and what there is to see.

use crate::access::Access;
use crate::body::{ENDPOINTS, Endpoint};
use crate::metrics;
use crate::request::{Asker, Configured, Rejected, Request as Order};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;

/// A configuration is no larger.
const LONGEST_BODY: usize = 64 << 10;

/// The `code` of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Code {
    Ok = 0,
    InvalidRequest = 1,
    Internal = 2,
    NotFound = 3,
    Undecodable = 4,
    Unusable = 5,
    Unavailable = 6,
}

impl Code {
    fn status(self) -> StatusCode {
        match self {
            Self::Ok => StatusCode::OK,
            Self::InvalidRequest | Self::Undecodable | Self::Unusable => StatusCode::BAD_REQUEST,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// The body of every reply but those of `GET`.
#[derive(Debug, Serialize)]
struct Reply<'a> {
    code: u8,
    module_type: &'a str,
    msg: &'a str,
    data: Value,
}

fn reply(status: StatusCode, code: Code, module_type: &str, msg: &str, data: Value) -> Response {
    let body = Reply { code: code as u8, module_type, msg, data };
    (status, axum::Json(body)).into_response()
}

fn refuse(status: StatusCode, code: Code, msg: &str) -> Response {
    reply(status, code, "", msg, Value::Null)
}

/// What the handlers share.
#[derive(Clone)]
struct Api {
    asker: Asker,
    module: &'static str,
}

pub(crate) fn router(asker: Asker, module: &'static str, access: Arc<Access>) -> Router {
    let mut router = Router::new()
        .route("/health", get(async || "ok\n"))
        .route("/status", get(status))
        .route("/stats", get(stats))
        .route("/metrics", get(show_metrics));
    for endpoint in &ENDPOINTS {
        for path in endpoint.paths {
            router = router.route(
                path,
                post(async move |State(api): State<Api>, request| {
                    api.configure(endpoint, request).await
                }),
            );
        }
    }
    router
        .fallback(async || refuse(StatusCode::NOT_FOUND, Code::NotFound, "not found"))
        .method_not_allowed_fallback(async || {
            refuse(StatusCode::METHOD_NOT_ALLOWED, Code::InvalidRequest, "wrong method")
        })
        .with_state(Api { asker, module })
        .layer(from_fn_with_state(access, check))
}

async fn check(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    match access.check(request.headers(), request.uri(), false) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refuse(refusal.status(), Code::InvalidRequest, refusal.reason()),
    }
}

async fn status(State(api): State<Api>) -> Response {
    show(api.asker.ask(Order::Status).await)
}

async fn stats(State(api): State<Api>) -> Response {
    show(api.asker.ask(Order::Stats).await)
}

fn show(answer: Option<Value>) -> Response {
    answer.map_or_else(unavailable, |value| axum::Json(value).into_response())
}

async fn show_metrics(State(api): State<Api>) -> Response {
    const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
    match api.asker.ask(Order::Metrics).await {
        Some(metrics) => ([(CONTENT_TYPE, FORMAT)], metrics::render(&metrics)).into_response(),
        None => unavailable(),
    }
}

fn unavailable() -> Response {
    refuse(
        StatusCode::SERVICE_UNAVAILABLE,
        Code::Unavailable,
        "the capture has too much to do, or ends; try again",
    )
}

impl Api {
    async fn configure(self, endpoint: &'static Endpoint, request: Request) -> Response {
        let answer = |code: Code, msg: &str, data| {
            reply(code.status(), code, endpoint.module_type, msg, data)
        };
        let too_large = || {
            let msg = format!("a body of at most {LONGEST_BODY} bytes is taken");
            let status = StatusCode::PAYLOAD_TOO_LARGE;
            reply(status, Code::InvalidRequest, endpoint.module_type, &msg, Value::Null)
        };
        if announced(request.headers()).is_some_and(|length| length > LONGEST_BODY as u64) {
            return too_large();
        }
        let Ok(body) = axum::body::to_bytes(request.into_body(), LONGEST_BODY).await else {
            return too_large();
        };
        let change = match endpoint.read(&body) {
            Ok(change) => change,
            Err(error) => return answer(Code::Undecodable, &error, Value::Null),
        };
        if endpoint.module != self.module {
            let msg = format!("this ecapture runs {}, not {}", self.module, endpoint.module);
            return answer(Code::Unusable, &msg, Value::Null);
        }
        let configured: Option<Configured> =
            self.asker.ask(|reply| Order::Configure(change, reply)).await;
        match configured {
            None => unavailable(),
            Some(Ok(data)) => answer(Code::Ok, "OK", data),
            Some(Err(Rejected::Wrong(msg))) => answer(Code::Unusable, &msg, Value::Null),
            Some(Err(Rejected::Failed(msg))) => answer(Code::Internal, &msg, Value::Null),
            Some(Err(Rejected::Busy)) => {
                answer(Code::Unavailable, "another change is under way; try again", Value::Null)
            }
        }
    }
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
