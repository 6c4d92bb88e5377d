//! Control from outside: the HTTP configuration server, and the event stream for eCaptureQ.
//!
//! Both run in one thread of their own ([`Server`]) and know nothing of capturing. What clients ask
//! comes out as a [`Request`], which the capture takes when its [`Requests`] become readable; what
//! is captured goes in through the [`Hub`], which never waits.
//!
//! Every connection is bounded in time and memory, and everybody must show a [`Token`] (see
//! [`Access`]): what is served here is other people's plaintext.

mod access;
mod api;
mod body;
mod connection;
mod hub;
mod listen;
mod metrics;
mod request;
mod server;
mod stream;
mod token;

pub use access::Access;
pub use body::{Change, Setpoint, Setting};
pub use hub::{Hub, Message};
pub use listen::{ListenError, Listener, Tls};
pub use metrics::{Kind, Metric};
pub use request::{Configured, Rejected, Reply, Request, Requests};
pub use server::{Encode, Server, Stream};
pub use token::{Token, TokenError};
