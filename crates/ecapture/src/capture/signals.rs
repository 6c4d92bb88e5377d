//! Signals as something to wait for.

use anyhow::Context as _;
use rustix::process::Signal;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals as Iterator;
use std::cell::RefCell;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The signals that end a capture, and the end of a child.
const CAUGHT: [i32; 5] = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGCHLD];

/// Caught signals that were not taken yet.
pub(crate) struct Signals {
    pending: RefCell<Iterator>,
    wake: UnixStream,
}

impl Signals {
    /// Catches them from now on. With `end_at_second`, a second request to end is obeyed at once.
    pub(crate) fn catch(end_at_second: bool) -> anyhow::Result<Self> {
        let what = "cannot catch signals";
        let (wake, write) = UnixStream::pair().context(what)?;
        wake.set_nonblocking(true).context(what)?;
        for signal in CAUGHT {
            signal_hook::low_level::pipe::register(signal, write.try_clone().context(what)?)
                .context(what)?;
        }
        // Should writing be stuck because nobody reads what we write, the first signal is not seen.
        // Then the second ends us without a balance; the kernel removes the probes.
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            if end_at_second {
                flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&asked))
                    .context(what)?;
            }
            flag::register(signal, Arc::clone(&asked)).context(what)?;
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
