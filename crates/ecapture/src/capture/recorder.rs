//! A module with one set of programs, each of whose records is written as it is: what those for shells
//! and databases have in common.

use super::balance::{Balance, LibraryReport};
use super::module::{Drained, Module, Scope, View};
use super::output::Writer;
use event::LossTable;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// The programs in the kernel, and what hands out their records.
pub(super) trait Source {
    /// What there is to attach to in one file.
    type Plan: Send + 'static;

    /// Becomes readable when there is something to [`drain`](Self::drain).
    fn fd(&self) -> BorrowedFd<'_>;

    /// Puts probes into a file, and tells the user.
    fn attach(&mut self, plan: &Self::Plan) -> anyhow::Result<()>;

    /// As [`Module::set_scope`].
    fn set_scope(&mut self, scope: &Scope) -> anyhow::Result<()>;

    /// Has probes in these files and no others, in the processes of `scope`.
    fn replace(&mut self, plans: &[Self::Plan], scope: &Scope) -> anyhow::Result<()>;

    /// Writes what was captured, for a bounded time.
    fn drain(&mut self, writer: &mut Writer) -> Drained;

    /// When everything is drained: writes what was begun and has not ended.
    fn finish(&mut self, writer: &mut Writer);

    /// Removes every probe.
    fn detach(&mut self);

    /// Nothing will come any more after [`detach`](Self::detach).
    fn is_drained(&self) -> bool;

    /// What was lost on the way here.
    fn lost(&self) -> LossTable;

    /// What became of the file that was the `index`-th to be attached to, or is in what replaced those.
    fn report(&self, index: usize, plan: &Self::Plan) -> LibraryReport;

    /// The balance with what was seen.
    fn add_seen(&self, balance: Balance) -> Balance;
}

/// The module.
pub(super) struct Recorder<S: Source> {
    source: S,
    writer: Writer,
    to_stdout: bool,
    attached: Vec<S::Plan>,
}

impl<S: Source> Recorder<S> {
    /// Has what `source` hands out written by `writer`, `to_stdout` or elsewhere.
    pub(super) fn new(source: S, writer: Writer, to_stdout: bool) -> Self {
        Self { source, writer, to_stdout, attached: Vec::new() }
    }
}

impl<S: Source> Module for Recorder<S> {
    type Plan = S::Plan;

    fn fds(&self) -> Vec<BorrowedFd<'_>> {
        vec![self.source.fd()]
    }

    fn attach(&mut self, plan: Self::Plan) -> anyhow::Result<()> {
        self.source.attach(&plan)?;
        self.attached.push(plan);
        Ok(())
    }

    fn set_scope(&mut self, scope: &Scope) -> anyhow::Result<()> {
        self.source.set_scope(scope)
    }

    fn replace(&mut self, plans: Vec<Self::Plan>, scope: &Scope) -> anyhow::Result<()> {
        self.source.replace(&plans, scope)?;
        self.attached = plans;
        self.source.set_scope(scope)
    }

    fn set_view(&mut self, view: View) -> anyhow::Result<()> {
        self.writer.set_view(view)
    }

    fn attached(&self) -> usize {
        self.attached.len()
    }

    fn drain(&mut self) -> Drained {
        self.source.drain(&mut self.writer)
    }

    fn flush(&mut self) {
        self.writer.flush();
    }

    fn wakes_within(&self) -> Option<Duration> {
        None
    }

    fn is_done(&self) -> bool {
        self.writer.is_done()
    }

    fn writes_to_stdout(&self) -> bool {
        self.to_stdout
    }

    fn detach(&mut self) {
        self.source.detach();
    }

    fn is_drained(&self) -> bool {
        self.source.is_drained()
    }

    fn finish(&mut self) {
        self.source.finish(&mut self.writer);
        self.writer.finish();
    }

    fn balance(&self) -> Balance {
        let mut lost = self.source.lost();
        self.writer.add_losses(&mut lost);
        let plans = self.attached.iter().enumerate();
        let files = plans.map(|(index, plan)| self.source.report(index, plan)).collect();
        let balance = Balance::new(&lost, self.writer.records(), files);
        self.source.add_seen(balance.with_destinations(self.writer.destinations()))
    }

    fn take_error(&mut self) -> Option<anyhow::Error> {
        self.writer.take_error()
    }
}
