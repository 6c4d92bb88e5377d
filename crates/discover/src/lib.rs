//! Which files on this host could carry a TLS library.
//!
//! Uprobes belong to a file, not to a process, so everything here is about files: those that running
//! processes execute from ([`Finder::scan_processes`]), those that the loader would find
//! ([`Finder::scan_loader`]), one that the user names ([`given()`]), and those that are mapped
//! later ([`Watcher`]). Whether a file does carry a TLS library is for the caller's test to say,
//! which may look for something else: a shell, a database server.
//!
//! Everything read here (`/proc/PID/maps`, `ld.so.cache`, file names, ELF headers) may be written by
//! somebody hostile.

mod elf;
mod file;
mod finder;
mod given;
mod image;
mod ld_cache;
mod loader;
pub mod maps;
mod neighbour;
pub mod process;
pub mod sockets;
mod sys;
mod watch;

pub use elf::{Machine, Unsuitable};
pub use file::{Candidate, FileId, Origin, Stamp};
pub use finder::{Finder, LoaderScan, ProcessScan, Scope};
pub use given::{GivenError, given};
pub use loader::library_names;
pub use neighbour::{Neighbour, companion};
pub use watch::{NewMapping, Notice, WatchError, Watcher};
