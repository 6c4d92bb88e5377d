//! Packet files: what strict readers make of them with nothing but the file, read once from its start.

mod bodies;
mod handshakes;
mod leftovers;
mod load;
mod output;
mod owners;
mod readers;
mod recording;
pub(crate) mod scene;
pub(crate) mod tshark;
mod wrong;
