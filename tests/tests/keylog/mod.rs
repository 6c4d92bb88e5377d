//! Key logs: every line that a program would write itself, and no other.

mod handshakes;
mod libraries;
