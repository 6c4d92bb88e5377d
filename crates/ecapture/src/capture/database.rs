//! The modules for databases: the statements that MySQL, MariaDB and PostgreSQL servers execute.

use super::balance::{Balance, FunctionReport, LibraryReport, Queries};
use super::module::{Drained, Files, Module, Scope, View};
use super::output::Writer;
use super::{Common, capture};
use crate::database::{self, Kind, Planned};
use cli::{DatabaseConfig, DatabaseKind};
use event::LossTable;
use probe::database::{Capture, Function, Options, Placing};
use std::os::fd::BorrowedFd;
use std::process::ExitCode;
use std::time::Duration;

/// Bytes that may wait in memory after a burst.
const QUEUE: usize = 256 << 20;

/// Runs `ecapture mysqld` and `ecapture postgres`.
pub(crate) fn run(config: &DatabaseConfig) -> anyhow::Result<ExitCode> {
    crate::log::start(&config.global, Some(config.capture.format))?;
    let common = Common { global: &config.global, capture: &config.capture, notes: &config.notes };
    let writer = Writer::open(common, None)?;
    capture(common, files(config), |scope| Databases::load(config, writer, scope))
}

fn files(config: &DatabaseConfig) -> Files<Box<Planned>> {
    let (kind, flag, what) = match config.database {
        DatabaseKind::Mysqld => (Kind::Mysqld, "--mysqld", "MySQL or MariaDB server"),
        DatabaseKind::Postgres => (Kind::Postgres, "--postgres", "PostgreSQL server"),
    };
    let options = target::ServerOptions {
        function: config.function.clone(),
        offset: config.offset,
        ..target::ServerOptions::default()
    };
    Files {
        test: kind.test(),
        plan: Box::new(move |candidate| database::plan(candidate, kind, &options)),
        installed: kind.installed(),
        given: config.files.clone(),
        flag,
        what,
    }
}

/// The module.
struct Databases {
    capture: Capture,
    writer: Writer,
    to_stdout: bool,
    /// With their numbers in the capture.
    attached: Vec<(usize, Planned)>,
}

fn placing<'a>(planned: &'a Planned, functions: &'a [Function]) -> Placing<'a> {
    Placing {
        library: planned.library.clone(),
        file: &planned.file,
        system: planned.system(),
        memory: planned.memory(),
        functions,
    }
}

impl Databases {
    fn load(config: &DatabaseConfig, writer: Writer, scope: Scope) -> anyhow::Result<Self> {
        let Scope { pids, follow_children, uid, cgroup, use_btf, changeable } = scope;
        let capture = Capture::load(Options {
            ring_bytes: usize::try_from(config.global.buffer_bytes_per_cpu)?,
            queue_bytes: QUEUE,
            use_btf,
            without: probe::features::Without::from_environment()?,
            pids,
            follow_children,
            uid,
            cgroup,
            changeable,
        })?;
        for note in capture.notes() {
            tracing::warn!("{note}");
        }
        let to_stdout = config.capture.stdout;
        Ok(Self { capture, writer, to_stdout, attached: Vec::new() })
    }
}

impl Module for Databases {
    type Plan = Box<Planned>;

    fn fds(&self) -> Vec<BorrowedFd<'_>> {
        vec![self.capture.fd()]
    }

    fn attach(&mut self, planned: Self::Plan) -> anyhow::Result<()> {
        let functions = planned.functions();
        let number = self.capture.attach(&placing(&planned, &functions))?;
        tracing::info!(
            "attached to {} ({}), {} functions",
            planned.library.path,
            planned.plan.version.as_deref().unwrap_or("version unknown"),
            planned.plan.probes.len(),
        );
        for note in &planned.plan.notes {
            tracing::warn!("{}: {note}", planned.library.path);
        }
        self.attached.push((number, *planned));
        Ok(())
    }

    fn set_scope(&mut self, scope: &Scope) -> anyhow::Result<()> {
        Ok(self.capture.set_filter(&scope.filter()?)?)
    }

    fn replace(&mut self, plans: Vec<Self::Plan>, scope: &Scope) -> anyhow::Result<()> {
        let functions: Vec<_> = plans.iter().map(|planned| planned.functions()).collect();
        let placings: Vec<_> = plans
            .iter()
            .zip(&functions)
            .map(|(planned, functions)| placing(planned, functions))
            .collect();
        let numbers = self.capture.replace(&placings, scope.pids.clone())?;
        self.attached = numbers.into_iter().zip(plans.into_iter().map(|plan| *plan)).collect();
        self.set_scope(scope)
    }

    fn set_view(&mut self, view: View) -> anyhow::Result<()> {
        self.writer.set_view(view)
    }

    fn attached(&self) -> usize {
        self.attached.len()
    }

    fn drain(&mut self) -> Drained {
        let Self { capture, writer, .. } = self;
        let drained = capture.drain(|query| writer.query(&query));
        Drained { records: drained.records, more: drained.more }
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
        self.capture.detach();
    }

    fn is_drained(&self) -> bool {
        self.capture.is_drained()
    }

    fn finish(&mut self) {
        let Self { capture, writer, .. } = self;
        capture.finish(|query| writer.query(&query));
        writer.finish();
    }

    fn balance(&self) -> Balance {
        let tally = self.capture.tally();
        let mut lost = LossTable::default();
        for (place, loss) in tally.lost.iter() {
            lost.add(place, loss.events, loss.bytes);
        }
        self.writer.add_losses(&mut lost);
        let destinations = self.writer.destinations();
        let servers = self.attached.iter().map(|(number, planned)| LibraryReport {
            path: planned.library.path.clone(),
            build_id: planned.library.build_id.clone(),
            version: planned.plan.version.clone(),
            functions: self
                .capture
                .hits(*number)
                .into_iter()
                .zip(&planned.plan.probes)
                .map(|((name, hits), probe)| FunctionReport {
                    name,
                    placement: probe.placement(),
                    hits,
                })
                .collect(),
        });
        Balance::new(&lost, self.writer.records(), servers.collect())
            .with_destinations(destinations)
            .with_queries(Queries { queries: tally.statements, query_bytes: tally.bytes })
    }

    fn take_error(&mut self) -> Option<anyhow::Error> {
        self.writer.take_error()
    }
}
