//! Packets and the keys that decrypt them, as pcapng (`draft-ietf-opsawg-pcapng`).
//!
//! * [`Pcapng`] writes: a section header, interfaces (also ones that appear later), packets with
//!   their owners, decryption secrets, and statistics at the end.
//! * [`Rotation`] cuts what it writes into files, each complete in itself.
//!
//! When a packet is written, and after which keys, is decided before (crate `packet`): blocks come
//! out in the order of the calls.
//!
//! The encoder is our own because the crates that write pcapng have no type for a decryption
//! secrets block (`pcap-file` 2.0), allocate for each packet, or are readers (`pcap-parser`, which
//! the tests use to read back).

mod block;
mod comment;
mod describe;
mod keys;
mod rotation;
mod writer;

pub use describe::{Interface, InterfaceCounts, Section};
pub use rotation::Rotation;
pub use writer::{Pcapng, PcapngError, PcapngStats};
