//! From events to records: connections, stream reassembly, HTTP and WebSocket.
//!
//! Pure and deterministic: no I/O, no clock; time only comes with the events. The same events give
//! the same records, and however a stream is cut into chunks, the same messages.
//!
//! [`Flow`] keeps a table of connections. Each puts the pieces of its two directions in order and
//! hands them to the parser of the protocol that it was found to speak, or shows them as they are.

mod coding;
mod connection;
mod context;
mod detect;
mod flow;
mod head;
mod http1;
mod http2;
mod message;
mod options;
mod protocol;
mod reassembly;
mod sse;
mod stats;
mod undetected;
mod websocket;

pub use context::Emit;
pub use flow::Flow;
pub use options::Options;
pub use stats::{FlowStats, Shown, Traffic};
