//! The plan: which instruction of which function gets a probe, and what its registers mean
//! there. Data only: printable, comparable, serialisable.

use serde::Serialize;

/// What a call of the function means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// Plaintext received: arguments `(ssl, buf, num, …)`.
    Read,
    /// Plaintext sent: arguments `(ssl, buf, num, …)`.
    Write,
    /// Plaintext looked at but left in place: counted as a call, never as data.
    Peek,
    /// `SSL_sendfile(ssl, fd, offset, size, flags)`: no plaintext buffer. If the function calls
    /// one that has a buffer, that one's data counts.
    Sendfile,
    /// The TLS object is about to be freed.
    Free,
    /// The TLS object is reset for another connection.
    Clear,
    /// `SSL_set_fd(ssl, fd)`.
    SetFd,
    /// `SSL_set_rfd(ssl, fd)`.
    SetRfd,
    /// `SSL_set_wfd(ssl, fd)`.
    SetWfd,
    /// What an interrupted call has taken is not sent.
    Discard,
}

/// Where a call's byte count is when it returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ResultStyle {
    /// The low `bits` of the return register, as a signed number: > 0 is a byte count.
    ReturnValue {
        /// 32 for a C `int`, 64 for a `ssize_t`.
        bits: u8,
    },
    /// The C `int` returned is > 0 on success, and the `arg`-th argument (1 is the first, as in
    /// `PT_REGS_PARMn`) points at the `size_t` count. Both are to be noted at entry.
    OutParam {
        /// 4 is `%rcx`, 5 is `%r8`.
        arg: u8,
    },
    /// As the 64-bit [`ReturnValue`](Self::ReturnValue). But a call that was interrupted
    /// (`GNUTLS_E_AGAIN`, `GNUTLS_E_INTERRUPTED`) has taken its data: the next call on the object
    /// that succeeds returns how much of that, whatever buffer it was given.
    Resumable,
    /// As the 32-bit [`ReturnValue`](Self::ReturnValue), unless the 4th argument has
    /// `PR_MSG_PEEK`, 2: then nothing was moved.
    UnlessPeek,
    /// As the 64-bit [`ReturnValue`](Self::ReturnValue); the 2nd argument points at a
    /// `gnutls_packet_t`, which holds the data.
    Packet,
    /// Nothing: its data was counted when it was handed over, and calls inside it count nothing
    /// either.
    CountedBefore,
    /// Only the call itself is of interest.
    None,
}

/// Where the object that a call is about can be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Object {
    /// It is the first argument.
    #[default]
    Argument,
    /// The first argument points to a struct with a pointer to it at this offset.
    Behind(u8),
}

/// An instruction to put a uprobe on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Site {
    /// What the kernel's uprobe interface wants.
    pub file_offset: u64,
    /// The same place as a virtual address of the file.
    pub vaddr: u64,
    /// The instruction, for people. Branch targets are relative to the instruction.
    pub instruction: String,
    /// The kernel emulates it: one trap per hit instead of two.
    pub emulated: bool,
}

/// How the call's return is seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// A return probe at the entry site, where `(%rsp)` is the return address. With the entry
    /// probe it makes a `uprobe.session`.
    Uretprobe,
    /// Probes on these instructions; each call that returns passes exactly one of them, and the
    /// return register holds the return value there.
    Sites(Vec<Site>),
    /// The entry tells everything.
    NotNeeded,
}

/// Which rule of the planner placed the probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PlacementKind {
    /// At the internal function that the exported wrappers share, with a return probe.
    SharedInner,
    /// At a call of that function by none of the wrappers, and behind it.
    CallSite,
    /// On emulated instructions inside the function, entry and exits.
    JumpSites,
    /// At the symbol (or right after its `endbr64`), with a return probe.
    EntryUretprobe,
    /// At the entry, and on each `ret`.
    EntryRetSites,
    /// One probe before the function does anything; its return is not watched.
    EntryOnly,
}

/// The probes for one function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FunctionPlan {
    /// The symbol, or `inner(0x36a10) of SSL_read, SSL_read_ex`.
    pub name: String,
    /// The exported functions whose calls are seen here.
    pub covers: Vec<String>,
    /// What a call means.
    pub op: Op,
    /// Where the byte count is at the exit.
    pub result: ResultStyle,
    /// The probe that sees the call's arguments.
    pub entry: Site,
    /// The probes that see its return.
    pub exit: Exit,
    /// Which rule applied.
    pub placement: PlacementKind,
    /// One sentence on what was chosen and what was rejected.
    pub why: String,
}
