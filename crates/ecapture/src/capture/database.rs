//! The modules for databases: the statements that MySQL, MariaDB and PostgreSQL servers execute.

use super::balance::{Balance, FunctionReport, LibraryReport, Queries};
use super::module::{Drained, Files, Scope, Unit};
use super::output::Writer;
use super::recorder::{Recorder, Source};
use super::{Common, capture};
use crate::database::{self, Kind, Planned};
use cli::{DatabaseConfig, DatabaseKind};
use event::LossTable;
use probe::database::{Capture, Options};
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
}

impl Databases {
    fn load(config: &DatabaseConfig, scope: Scope) -> anyhow::Result<Self> {
        let Scope { pids, follow_children, uid, cgroup, use_btf, .. } = scope;
        let capture = Capture::load(Options {
            ring_bytes: usize::try_from(config.global.buffer_bytes_per_cpu)?,
            queue_bytes: QUEUE,
            use_btf,
            without: probe::features::Without::from_environment()?,
            pids,
            follow_children,
            uid,
            cgroup,
        })?;
        for note in capture.notes() {
            tracing::warn!("{note}");
        }
        Ok(Self { capture })
    }
}

impl Source for Databases {
    type Plan = Box<Planned>;

    fn fd(&self) -> BorrowedFd<'_> {
        self.capture.fd()
    }

    fn attach(&mut self, planned: &Self::Plan) -> anyhow::Result<()> {
        self.capture.attach(
            planned.library.clone(),
            &planned.file,
            planned.system(),
            planned.memory(),
            &planned.functions(),
        )?;
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

    fn report(&self, number: usize, planned: &Self::Plan) -> LibraryReport {
        let hits = self.capture.hits(number).into_iter().zip(&planned.plan.probes);
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
