//! The modules for shells: what people type into bash and zsh.

use super::balance::{Balance, Commands, LibraryReport};
use super::module::{Drained, Files, Scope, Unit};
use super::output::Writer;
use super::recorder::{Recorder, Source};
use super::{Common, capture};
use crate::shell::{self, Planned};
use cli::{ShellConfig, ShellKind};
use event::{Command, LossTable};
use probe::shell::{Capture, Options, Placing};
use std::os::fd::BorrowedFd;
use std::process::ExitCode;

/// Runs `ecapture bash` and `ecapture zsh`.
pub(crate) fn run(config: &ShellConfig) -> anyhow::Result<ExitCode> {
    crate::log::start(&config.global, Some(config.capture.format))?;
    let common = Common { global: &config.global, capture: &config.capture, notes: &[] };
    let writer = Writer::open(common, None)?;
    capture(common, files(config), |scope| {
        Ok(Recorder::new(Shells::load(config, scope)?, writer, config.capture.stdout))
    })
}

fn files(config: &ShellConfig) -> Files<Box<Planned>> {
    let (kind, flag, test): (_, _, fn(&[u8]) -> bool) = match config.shell {
        ShellKind::Bash => {
            (target::Shell::Bash, "--bash", |bytes| target::is_shell(bytes, target::Shell::Bash))
        }
        ShellKind::Zsh => {
            (target::Shell::Zsh, "--zsh", |bytes| target::is_shell(bytes, target::Shell::Zsh))
        }
    };
    if let Some(path) = &config.readline {
        return Files {
            test: |bytes| target::is_shell(bytes, target::Shell::Readline),
            plan: Box::new(|candidate| shell::plan(candidate, target::Shell::Readline)),
            installed: Vec::new(),
            given: vec![path.clone()],
            flag: "--readlineso",
            what: "libreadline",
            unit: Unit::LIBRARY,
        };
    }
    Files {
        test,
        plan: Box::new(move |candidate| shell::plan(candidate, kind)),
        installed: shell::installed(kind.name()),
        given: config.files.clone(),
        flag,
        what: kind.name(),
        unit: Unit::SHELL,
    }
}

/// What is typed into shells.
struct Shells {
    capture: Capture,
    /// Only commands that ended with this.
    status: Option<i32>,
}

impl Shells {
    fn load(config: &ShellConfig, scope: Scope) -> anyhow::Result<Self> {
        let Scope { pids, follow_children, uid, cgroup, use_btf, changeable } = scope;
        let capture = Capture::load(Options {
            ring_bytes: usize::try_from(config.global.buffer_bytes_per_cpu)?,
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
        Ok(Self { capture, status: config.status.map(i32::from) })
    }
}

fn placing(planned: &Planned) -> Placing<'_> {
    Placing { library: planned.library.clone(), file: &planned.file, shell: &planned.shell }
}

/// Writes a command if it ended as the user wants it.
fn write(writer: &mut Writer, status: Option<i32>, command: &Command) {
    if status.is_none_or(|status| command.status == Some(status)) {
        writer.command(command);
    }
}

impl Source for Shells {
    type Plan = Box<Planned>;

    fn fd(&self) -> BorrowedFd<'_> {
        self.capture.fd()
    }

    fn attach(&mut self, planned: &Self::Plan) -> anyhow::Result<()> {
        self.capture.attach(&placing(planned))?;
        tracing::info!(
            "attached to {} ({} {})",
            planned.library.path,
            planned.plan.shell.name(),
            planned.plan.version.as_deref().unwrap_or("of unknown version"),
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
        let placings: Vec<_> = plans.iter().map(|planned| placing(planned)).collect();
        Ok(self.capture.replace(&placings, scope.pids.clone())?)
    }

    fn drain(&mut self, writer: &mut Writer) -> Drained {
        let Self { capture, status } = self;
        let drained = capture.drain(|command| write(writer, *status, &command));
        Drained { records: drained.records, more: drained.more }
    }

    fn finish(&mut self, writer: &mut Writer) {
        let Self { capture, status } = self;
        capture.finish(|command| write(writer, *status, &command));
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

    fn report(&self, _: usize, planned: &Self::Plan) -> LibraryReport {
        LibraryReport {
            path: planned.library.path.clone(),
            build_id: planned.library.build_id.clone(),
            version: planned.plan.version.clone(),
            functions: Vec::new(),
        }
    }

    fn add_seen(&self, balance: Balance) -> Balance {
        let tally = self.capture.tally();
        balance.with_commands(Commands { commands: tally.commands, command_bytes: tally.bytes })
    }
}
