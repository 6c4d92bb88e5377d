//! TLS over TCP, as far as it takes to know which packet needs which secret.

mod hello;
mod record;
mod stream;
mod watch;

pub(crate) use hello::{ServerHello, client_random};
pub(crate) use record::{begins_application_data, may_begin_client_hello};
pub(crate) use watch::TlsWatch;

use crate::ClientRandom;
use crate::needs::Needs;

/// What a packet says of its connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// What must be written before it.
    pub(crate) needs: Needs,
    /// The connection's name, if the packet completes it.
    pub(crate) client_random: Option<ClientRandom>,
}

/// The flow is not what it looked like, or cannot be followed any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lost;
