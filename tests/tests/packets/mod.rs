//! Packet files: what strict readers make of them with nothing but the file, read once from its start.

mod bodies;
mod handshakes;
mod http3;
mod interfaces;
mod leftovers;
mod load;
mod network;
mod output;
mod owners;
mod readers;
mod recording;
mod resets;
pub(crate) mod scene;
pub(crate) mod tshark;
mod undecryptable;
mod wrong;
