//! The part that captures keys: from the kernel's records to the key log.

use super::super::balance::KeyReport;
use super::super::module::{Drained, Scope};
use super::plan::Plan;
use anyhow::{Context as _, anyhow};
use cli::Place;
use event::{LossTable, Secret};
use probe::keys::Placing;
use sink::{KeyLog, OutputError, OutputState};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;

/// Its output is open, nothing is in the kernel yet.
pub(super) struct Opened {
    log: Option<KeyLog>,
    to_stdout: bool,
}

impl Opened {
    /// With `place`, secrets are written there; else they are only for the packets.
    pub(super) fn new(place: Option<&Place>) -> anyhow::Result<Self> {
        let Some(place) = place else { return Ok(Self { log: None, to_stdout: false }) };
        let path = match place {
            Place::Stdout => Path::new("-"),
            Place::File(path) => path,
        };
        let log = KeyLog::open(path).context("--keylogfile")?;
        Ok(Self { log: Some(log), to_stdout: *place == Place::Stdout })
    }

    pub(super) fn load(self, scope: &Scope) -> anyhow::Result<Keys> {
        let Self { log, to_stdout } = self;
        let Scope { pids, follow_children, uid, cgroup, use_btf, changeable } =
            scope.try_clone()?;
        let capture = probe::keys::Keys::load(probe::keys::Options {
            pids,
            follow_children,
            uid,
            cgroup,
            use_btf,
            without: probe::features::Without::from_environment()?,
            changeable,
        })?;
        for note in capture.notes() {
            tracing::warn!("{note}");
        }
        Ok(Keys { capture, log, to_stdout, error: None })
    }
}

/// The running part.
pub(super) struct Keys {
    capture: probe::keys::Keys,
    log: Option<KeyLog>,
    to_stdout: bool,
    error: Option<OutputError>,
}

impl Keys {
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.capture.fd()
    }

    /// Puts probes into a library. How it is known where they go is told with --debug.
    pub(super) fn attach(&mut self, plan: &Plan) -> anyhow::Result<()> {
        let path = &plan.library().path;
        let functions = plan.keys().map_err(|reason| anyhow!("no keys of {path}: {reason}"))?;
        self.capture.attach(Arc::new(plan.library().clone()), plan.file(), functions)?;
        for evidence in plan.key_evidence() {
            tracing::debug!("keys of {path}: {evidence}");
        }
        Ok(())
    }

    /// As [`Module::set_scope`](super::super::module::Module::set_scope).
    pub(super) fn set_scope(&mut self, scope: &Scope) -> anyhow::Result<()> {
        Ok(self.capture.set_filter(&scope.filter()?)?)
    }

    /// Has probes in these libraries and no others.
    pub(super) fn replace(&mut self, planned: &[&Plan], scope: &Scope) -> anyhow::Result<()> {
        let placings: Vec<Placing<'_>> = planned
            .iter()
            .filter_map(|planned| {
                let functions = planned.keys().ok()?;
                let library = Arc::new(planned.library().clone());
                Some(Placing { library, file: planned.file(), functions })
            })
            .collect();
        self.capture.replace(&placings, scope.pids.clone())?;
        self.set_scope(scope)
    }

    /// Writes secrets, and hands them on.
    pub(super) fn drain(&mut self, mut also: impl FnMut(&Secret)) -> Drained {
        let Self { capture, log, error, .. } = self;
        let drained = capture.drain(|secret| {
            if let Some(Err(failed)) = log.as_mut().map(|log| log.write(&secret)) {
                *error = Some(failed);
            }
            also(&secret);
        });
        Drained { records: drained.secrets, more: drained.more }
    }

    pub(super) fn is_done(&self) -> bool {
        self.log.as_ref().is_some_and(|log| log.state() != OutputState::Open)
    }

    pub(super) fn writes_to_stdout(&self) -> bool {
        self.to_stdout
    }

    pub(super) fn detach(&mut self) {
        self.capture.detach();
    }

    pub(super) fn is_drained(&self) -> bool {
        self.capture.is_drained()
    }

    pub(super) fn report(&self) -> KeyReport {
        let tally = self.capture.tally();
        let stats = self.log.as_ref().map(KeyLog::stats).unwrap_or_default();
        KeyReport {
            seen: tally.seen,
            written: stats.written,
            duplicate: stats.duplicate,
            rejected: tally.rejected,
            lost: tally.lost,
        }
    }

    pub(super) fn add_losses(&self, lost: &mut LossTable) {
        let tally = self.capture.tally();
        lost.add("keys", tally.lost, 0);
        lost.add("keys_rejected", tally.rejected, 0);
        // What nobody wanted to read any more is not lost.
        if let Some(log) = self.log.as_ref().filter(|log| log.state() == OutputState::Failed) {
            lost.add("key_output", log.stats().discarded, 0);
        }
    }

    pub(super) fn take_error(&mut self) -> Option<anyhow::Error> {
        self.error.take().map(Into::into)
    }
}
