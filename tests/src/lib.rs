//! What the end-to-end tests are made of: real TLS programs on this host, the built `ecapture`
//! running beside them, and the comparison of what they said with what was captured.
//!
//! Every wait is for an event (a line in a pipe, the end of a process, a connection) and has a
//! limit, after which the test fails and says what it waited for. The capture is host-wide, so tests
//! that capture take turns and look only at the processes they started.

pub mod calls;
pub mod capture;
pub mod certificate;
pub mod cgroup;
pub mod curl;
pub mod database;
pub mod go;
pub mod http1;
pub mod http2;
pub mod keylog;
pub mod line;
pub mod load;
pub mod memory;
pub mod message;
pub mod nginx;
pub mod openssl;
pub mod payload;
pub mod peer;
pub mod process;
pub mod rights;
pub mod s_client;
pub mod scratch;
pub mod shells;
pub mod stream;
pub mod suite;
pub mod terminal;
pub mod version;

pub use capture::{Capture, Captured};
pub use line::{Direction, Line};
pub use payload::{Payload, digest};
pub use process::Process;
pub use scratch::Scratch;
