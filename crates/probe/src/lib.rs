//! The kernel side: BPF programs, how they are loaded and attached, and the reader of what they say.
//!
//! All code that talks to the kernel through raw memory is in this crate. Each family of programs is
//! a folder with its `.bpf.c`; `include/` holds what the programs and user space share.

mod attach;
pub mod clock;
pub mod database;
mod error;
pub mod features;
mod filter;
pub mod gotls;
mod intake;
pub mod keys;
mod mapping;
mod memory;
mod object;
pub mod packets;
mod perf_event;
mod pi_mutex;
pub mod priority;
mod queue;
mod reader;
mod record;
mod ring;
pub mod shell;
pub mod tls;

pub use error::Error;
