//! Lets the threads that lose data when they wait run before the programs that produce it.

use std::io;

/// How urgent a thread's work is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rank {
    /// Empties the rings: short work that must not wait.
    Reader,
    /// Works off a queue that is about to overflow.
    Urgent,
    /// Works off a queue that has room.
    Calm,
}

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

/// Gives the calling thread the priority of its rank, as far as we may.
///
/// Niceness alone does not do for the first two: it compares threads of one control group or session
/// only, and a service has its own. The kernel keeps a share of each CPU for ordinary threads
/// (`sched_rt_runtime_us`, and the fair server from Linux 6.8 on), and these threads only ever work
/// off what the others produced.
pub fn take(rank: Rank) {
    give(0, rank);
}

/// The calling thread, for [`give`].
pub(crate) fn this_thread() -> i32 {
    // SAFETY: the call has no arguments and cannot fail.
    unsafe { libc::gettid() }
}

/// Gives thread `thread` of this process the priority of `rank`; 0 is the calling thread.
pub(crate) fn give(thread: i32, rank: Rank) {
    let real_time = match rank {
        Rank::Reader => Some(2),
        Rank::Urgent => Some(1),
        Rank::Calm => None,
    };
    // Calm work takes its turn like any other: what it would gain by going first, it takes from those
    // who produce it.
    let nice = if rank == Rank::Calm { 0 } else { -20 };
    if let Some(priority) = real_time
        && set(thread, libc::SCHED_RR, 0, priority).is_ok()
    {
        return;
    }
    // Without the right to this the thread goes on as it is.
    let _ = set(thread, libc::SCHED_OTHER, nice, 0);
}

fn set(thread: i32, policy: i32, nice: i32, priority: u32) -> io::Result<()> {
    /// Nanoseconds of a turn: from Linux 6.12 on a thread that wakes for a short turn may interrupt
    /// one in a longer turn; before, it means nothing.
    const TURN: u64 = 100_000;
    /// `SCHED_FLAG_RESET_ON_FORK`: what we start does not inherit it.
    const RESET_ON_FORK: u64 = 1;
    let attributes = Attributes {
        size: size_of::<Attributes>() as u32,
        policy: policy as u32,
        flags: RESET_ON_FORK,
        nice,
        priority,
        runtime: if policy == libc::SCHED_OTHER { TURN } else { 0 },
        deadline: 0,
        period: 0,
    };
    // SAFETY: the structure is valid for reads of the size it names.
    let answer =
        unsafe { libc::syscall(libc::SYS_sched_setattr, thread, &raw const attributes, 0) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
