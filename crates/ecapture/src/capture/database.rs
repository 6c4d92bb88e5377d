//! The modules for databases: the statements that MySQL, MariaDB and PostgreSQL servers execute.

use super::balance::{Balance, FunctionReport, LibraryReport, Queries};
use super::module::{Drained, Files, Scope, Unit};
use super::output::Writer;
use super::recorder::{Recorder, Source};
use super::{Common, capture};
use crate::database::{self, Kind, Planned};
use cli::{DatabaseConfig, DatabaseKind};
use event::LossTable;
use probe::database::{Capture, Function, Options, Placing};
use std::os::fd::BorrowedFd;
use std::process::ExitCode;

/// Bytes that may wait in memory after a burst.
const QUEUE: usize = 256 << 20;

/// Runs `ecapture mysqld` and `ecapture postgres`.
pub(crate) fn run(config: &DatabaseConfig) -> anyhow::Result<ExitCode> {
    crate::log::start(&config.global, Some(config.capture.format))?;
    let common = Common { global: &config.global, capture: &config.capture, notes: &config.notes };
    let writer = Writer::open(common, None)?;
    capture(common, files(config), |scope| {
        Ok(Recorder::new(Databases::load(config, scope)?, writer, config.capture.stdout))
    })
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
        unit: Unit::SERVER,
    }
}

/// What servers execute.
struct Databases {
    capture: Capture,
    /// What it calls the files that were attached to, in order.
    numbers: Vec<usize>,
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
    fn load(config: &DatabaseConfig, scope: Scope) -> anyhow::Result<Self> {
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
        Ok(Self { capture, numbers: Vec::new() })
    }
}

impl Source for Databases {
    type Plan = Box<Planned>;

    fn fd(&self) -> BorrowedFd<'_> {
        self.capture.fd()
    }

    fn attach(&mut self, planned: &Self::Plan) -> anyhow::Result<()> {
        let functions = planned.functions();
        self.numbers.push(self.capture.attach(&placing(planned, &functions))?);
        tracing::info!(
            "attached to {} ({}), {} functions",
            planned.library.path,
            planned.plan.version.as_deref().unwrap_or("version unknown"),
            planned.plan.probes.len(),
        );
        for note in &planned.plan.notes {
            tracing::warn!("{}: {note}", planned.library.path);
        }
        Ok(())
    }

    fn set_scope(&mut self, scope: &Scope) -> anyhow::Result<()> {
        Ok(self.capture.set_filter(&scope.filter()?)?)
    }

    fn replace(&mut self, plans: &[Self::Plan], scope: &Scope) -> anyhow::Result<()> {
        let functions: Vec<_> = plans.iter().map(|planned| planned.functions()).collect();
        let placings: Vec<_> = plans
            .iter()
            .zip(&functions)
            .map(|(planned, functions)| placing(planned, functions))
            .collect();
        self.numbers = self.capture.replace(&placings, scope.pids.clone())?;
        Ok(())
    }

    fn drain(&mut self, writer: &mut Writer) -> Drained {
        let drained = self.capture.drain(|query| writer.query(&query));
        Drained { records: drained.records, more: drained.more }
    }

    fn finish(&mut self, writer: &mut Writer) {
        self.capture.finish(|query| writer.query(&query));
    }

    fn detach(&mut self) {
        self.capture.detach();
    }

    fn is_drained(&self) -> bool {
        self.capture.is_drained()
    }

    fn lost(&self) -> LossTable {
        self.capture.tally().lost
    }

    fn report(&self, index: usize, planned: &Self::Plan) -> LibraryReport {
        let hits = self.numbers.get(index).map(|number| self.capture.hits(*number));
        let hits = hits.unwrap_or_default().into_iter().zip(&planned.plan.probes);
        LibraryReport {
            path: planned.library.path.clone(),
            build_id: planned.library.build_id.clone(),
            version: planned.plan.version.clone(),
            functions: hits
                .map(|((name, hits), probe)| FunctionReport {
                    name,
                    placement: probe.placement(),
                    hits,
                })
                .collect(),
        }
    }

    fn add_seen(&self, balance: Balance) -> Balance {
        let tally = self.capture.tally();
        balance.with_queries(Queries { queries: tally.statements, query_bytes: tally.bytes })
    }
}
