//! Whole streams played into a flow, and what it shows of them.

mod http1;
mod http2;
mod support;
mod websocket;
