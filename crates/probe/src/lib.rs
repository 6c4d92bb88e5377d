//! The kernel side: BPF programs, how they are loaded and attached, the ring buffer reader.
