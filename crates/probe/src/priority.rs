//! Lets the reader of the rings run before the programs that fill them.

use std::io;

/// `struct sched_attr` of linux/sched/types.h, in its first published size.
#[repr(C)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// Gives the calling thread the highest ordinary priority and short turns.
///
/// A reader that waits for its turn loses what does not fit into the rings meanwhile. It stays an
/// ordinary thread, though: a real-time one could lock others out of a CPU. From Linux 6.12 on, short
/// turns let a waking thread interrupt one with longer turns; before, they mean nothing.
pub fn take_precedence() -> io::Result<()> {
    const TURN: u64 = 100_000;
    const NICE: i32 = -20;
    let attributes = Attributes {
        size: size_of::<Attributes>() as u32,
        policy: libc::SCHED_OTHER as u32,
        flags: 0,
        nice: NICE,
        priority: 0,
        runtime: TURN,
        deadline: 0,
        period: 0,
    };
    // SAFETY: the structure is valid for reads of the size it names; 0 is the calling thread.
    let answer = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
