//! What the planner is asked for.

/// Which placements the planner may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Placement {
    /// The cheapest one that is provably right.
    #[default]
    Auto,
    /// Symbol entry and return probe on every exported function: the plain placement, to
    /// compare with, whatever else is to be avoided. Calls that such a function makes of another
    /// one are seen too.
    Entry,
}

/// What the caller knows about the kernel and the targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// See [`Placement`].
    pub placement: Placement,
    /// Use no return probe: this kernel's `uretprobe` system call is killed by the seccomp
    /// filters of some targets (Linux 6.11 to 6.12.13, 6.13.0 to 6.13.2).
    pub avoid_uretprobe: bool,
    /// Look for the keys too: [`Analysis::keys`](crate::Analysis::keys).
    pub keys: bool,
}
