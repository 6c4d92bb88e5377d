//! Signals as something to wait for.

use anyhow::Context as _;
use rustix::process::Signal;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals as Iterator;
use std::cell::RefCell;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

/// The signals that end a capture, and the end of a child.
const CAUGHT: [i32; 5] = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGCHLD];

/// Caught signals that were not taken yet.
pub(crate) struct Signals {
    pending: RefCell<Iterator>,
    wake: UnixStream,
}

impl Signals {
    /// Catches them from now on.
    pub(crate) fn catch() -> anyhow::Result<Self> {
        let what = "cannot catch signals";
        let (wake, write) = UnixStream::pair().context(what)?;
        wake.set_nonblocking(true).context(what)?;
        for signal in CAUGHT {
            signal_hook::low_level::pipe::register(signal, write.try_clone().context(what)?)
                .context(what)?;
        }
        let pending = RefCell::new(Iterator::new(CAUGHT).context(what)?);
        Ok(Self { pending, wake })
    }

    /// Becomes readable when a signal comes.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// The signals that came since.
    pub(crate) fn take(&self) -> Vec<Signal> {
        let mut drain = [0; 64];
        while rustix::io::read(&self.wake, &mut drain).is_ok_and(|read| read == drain.len()) {}
        self.pending.borrow_mut().pending().filter_map(Signal::from_named_raw).collect()
    }
}
