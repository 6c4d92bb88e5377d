//! The modules for shells: what people type into bash and zsh.

use super::balance::{Balance, Commands, LibraryReport};
use super::module::{Drained, Files, Module, Scope, View};
use super::output::Writer;
use super::{Common, capture};
use crate::shell::{self, Planned};
use cli::{ShellConfig, ShellKind};
use event::{Command, LossTable};
use probe::shell::{Capture, Options, Placing};
use std::os::fd::BorrowedFd;
use std::process::ExitCode;
use std::time::Duration;

/// Runs `ecapture bash` and `ecapture zsh`.
pub(crate) fn run(config: &ShellConfig) -> anyhow::Result<ExitCode> {
    crate::log::start(&config.global, Some(config.capture.format))?;
    let common = Common { global: &config.global, capture: &config.capture, notes: &[] };
    let writer = Writer::open(common, None)?;
    capture(common, files(config), |scope| Shells::load(config, writer, scope))
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
        };
    }
    Files {
        test,
        plan: Box::new(move |candidate| shell::plan(candidate, kind)),
        installed: shell::installed(kind.name()),
        given: config.files.clone(),
        flag,
        what: kind.name(),
    }
}

/// The module.
struct Shells {
    capture: Capture,
    writer: Writer,
    /// Only commands that ended with this.
    status: Option<i32>,
    to_stdout: bool,
    attached: Vec<Planned>,
}

impl Shells {
    fn load(config: &ShellConfig, writer: Writer, scope: Scope) -> anyhow::Result<Self> {
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
        Ok(Self {
            capture,
            writer,
            status: config.status.map(i32::from),
            to_stdout: config.capture.stdout,
            attached: Vec::new(),
        })
    }

    fn is_wanted(status: Option<i32>, command: &Command) -> bool {
        status.is_none_or(|status| command.status == Some(status))
    }
}

fn placing(planned: &Planned) -> Placing<'_> {
    Placing { library: planned.library.clone(), file: &planned.file, shell: &planned.shell }
}

impl Module for Shells {
    type Plan = Box<Planned>;

    fn fds(&self) -> Vec<BorrowedFd<'_>> {
        vec![self.capture.fd()]
    }

    fn attach(&mut self, planned: Self::Plan) -> anyhow::Result<()> {
        self.capture.attach(&placing(&planned))?;
        tracing::info!(
            "attached to {} ({} {})",
            planned.library.path,
            planned.plan.shell.name(),
            planned.plan.version.as_deref().unwrap_or("of unknown version"),
        );
        for note in &planned.plan.notes {
            tracing::warn!("{}: {note}", planned.library.path);
        }
        self.attached.push(*planned);
        Ok(())
    }

    fn set_scope(&mut self, scope: &Scope) -> anyhow::Result<()> {
        Ok(self.capture.set_filter(&scope.filter()?)?)
    }

    fn replace(&mut self, plans: Vec<Self::Plan>, scope: &Scope) -> anyhow::Result<()> {
        let placings: Vec<_> = plans.iter().map(|planned| placing(planned)).collect();
        self.capture.replace(&placings, scope.pids.clone())?;
        self.attached = plans.into_iter().map(|plan| *plan).collect();
        self.set_scope(scope)
    }

    fn set_view(&mut self, view: View) -> anyhow::Result<()> {
        self.writer.set_view(view)
    }

    fn attached(&self) -> usize {
        self.attached.len()
    }

    fn drain(&mut self) -> Drained {
        let Self { capture, writer, status, .. } = self;
        let drained = capture.drain(|command| {
            if Self::is_wanted(*status, &command) {
                writer.command(&command);
            }
        });
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
        let Self { capture, writer, status, .. } = self;
        capture.finish(|command| {
            if Self::is_wanted(*status, &command) {
                writer.command(&command);
            }
        });
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
        let files = self.attached.iter().map(|planned| LibraryReport {
            path: planned.library.path.clone(),
            build_id: planned.library.build_id.clone(),
            version: planned.plan.version.clone(),
            functions: Vec::new(),
        });
        Balance::new(&lost, self.writer.records(), files.collect())
            .with_destinations(destinations)
            .with_commands(Commands { commands: tally.commands, command_bytes: tally.bytes })
    }

    fn take_error(&mut self) -> Option<anyhow::Error> {
        self.writer.take_error()
    }
}
