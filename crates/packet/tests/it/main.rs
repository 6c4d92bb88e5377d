//! The hold-back and the pcapng writer together, judged by tshark.

mod fixture;
mod format;
mod one_pass;
mod tshark;
