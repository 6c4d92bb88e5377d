//! A capture from its start to its balance, whatever the module.
//!
//! This thread parses and writes. What it works off was copied out of the kernel's rings by the reader
//! (in `probe`); if it is too slow for too long, the reader stops, the rings fill up and the kernel
//! side counts what is lost. A third thread finds the files to probe.

mod balance;
pub(crate) mod control;
mod database;
mod files;
mod module;
mod output;
mod recorder;
mod shell;
mod signals;
mod tls;
mod wait;

pub(crate) use database::run as database;
pub(crate) use shell::run as shell;
pub(crate) use tls::run as tls;

use crate::child::{self, Child};
use crate::{go, log};
use anyhow::{Context as _, bail};
use cli::{BtfMode, CaptureConfig, Global};
use control::Control;
use files::{Finding, Search};
use module::{Files, Module, Planner, Scope, Unit};
use rustix::process::Signal;
use signals::Signals;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use wait::Waiter;

/// A record may be in a ring this long after the time that it carries.
const SETTLED: Duration = Duration::from_millis(50);
/// The exit status when something was lost and the user wanted to know.
const LOST_SOMETHING: u8 = 3;

/// What every module's configuration has.
#[derive(Clone, Copy)]
struct Common<'a> {
    global: &'a Global,
    capture: &'a CaptureConfig,
    notes: &'a [String],
}

/// The planner, for one search after the other.
type Shared<P> = Arc<Mutex<Planner<P>>>;

/// A running capture with everything that belongs to it.
struct Run<'a, M: Module> {
    common: Common<'a>,
    started: Instant,
    begun: Instant,
    child: Option<Child>,
    search: Search<M::Plan>,
    given: Vec<PathBuf>,
    flag: &'static str,
    what: &'static str,
    unit: Unit,
    test: fn(&[u8]) -> bool,
    plan: Shared<M::Plan>,
    control: Option<Control<M::Plan>>,
    module: M,
    summary: Option<File>,
    waiter: Waiter,
    /// Every file that was there at the start is attached to.
    ready: bool,
    exit: u8,
}

/// Captures until told to stop. `load` puts the module's programs into the kernel.
fn capture<M: Module>(
    common: Common<'_>,
    files: Files<M::Plan>,
    load: impl FnOnce(Scope) -> anyhow::Result<M>,
) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let signals = Signals::catch(common.capture.program.is_empty())?;
    let mut run = Run::start(common, files, load, started)?;
    run.until_told(&signals)?;
    run.finish()
}

impl<'a, M: Module> Run<'a, M> {
    fn start(
        common: Common<'a>,
        files: Files<M::Plan>,
        load: impl FnOnce(Scope) -> anyhow::Result<M>,
        started: Instant,
    ) -> anyhow::Result<Self> {
        let Common { global, capture, notes } = common;
        for note in notes {
            tracing::warn!("{note}");
        }
        for pid in &global.pids {
            if !discover::process::exists(*pid) {
                bail!("--pid {pid}: there is no such process");
            }
        }
        let server = control::Bound::new(&global.control)?;
        let flag = files.flag;
        let mut candidates = files
            .given
            .iter()
            .map(|path| discover::given(path).context(flag))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let cgroup = capture.cgroup.as_deref().map(open_cgroup).transpose()?;
        let summary = capture.summary.as_deref().map(balance::open).transpose()?;
        let program = &capture.program;
        let child = if program.is_empty() { None } else { Some(Child::start(program)?) };
        let module = load(Scope {
            pids: match &child {
                Some(child) => Some(vec![child.pid()]),
                None if global.pids.is_empty() => None,
                None => Some(global.pids.clone()),
            },
            follow_children: child.is_some(),
            uid: global.uid,
            cgroup,
            use_btf: use_btf(global.btf)?,
            changeable: server.as_ref().is_some_and(control::Bound::takes_changes),
        })?;
        tracing::debug!("programs loaded after {:?}", started.elapsed());

        let everything = files.given.is_empty();
        // The program after `--` runs from its own file at once.
        if everything && let Some(path) = program.first().and_then(child::executable) {
            candidates.extend(files::program(&path, files.test));
        }
        if everything {
            let installed = files.installed.iter();
            candidates.extend(installed.filter_map(|path| files::program(path, files.test)));
        }
        let plan = Arc::new(Mutex::new(files.plan));
        let search = Search::start(files::Options {
            given: candidates,
            pids: global.pids.clone(),
            test: files.test,
            plan: files::shared(&plan),
            everything,
        })
        .context("cannot start to search for files to probe")?;
        let waiter = Waiter::new()?;
        waiter.add(search.fd())?;
        for fd in module.fds() {
            waiter.add(fd)?;
        }
        let control = server
            .map(|server| {
                server.start(
                    common,
                    files.flag,
                    &files.given,
                    module.packet_filter().unwrap_or_default(),
                )
            })
            .transpose()?;
        if let Some(control) = &control {
            waiter.add(control.fd())?;
        }
        Ok(Self {
            common,
            started,
            begun: started,
            child,
            search,
            given: files.given,
            flag,
            what: files.what,
            unit: files.unit,
            test: files.test,
            plan,
            control,
            module,
            summary,
            waiter,
            ready: false,
            exit: 0,
        })
    }

    fn until_told(&mut self, signals: &Signals) -> anyhow::Result<()> {
        self.waiter.add(signals.fd())?;
        if self.module.writes_to_stdout() {
            self.waiter.add_stdout();
        }
        let mut asked = false;
        loop {
            let drained = self.module.drain();
            self.module.flush();
            if self.module.is_done() {
                return Ok(());
            }
            self.take_findings()?;
            self.take_requests();
            for signal in signals.take() {
                match (&self.child, signal) {
                    (_, Signal::CHILD) => {}
                    // The program decides what the signal means to it; a second one is for us.
                    (Some(child), signal) if !asked => {
                        asked = true;
                        child.signal(signal);
                    }
                    _ => return Ok(()),
                }
            }
            if let Some(status) = self.child.as_ref().and_then(Child::status) {
                self.exit = status;
                self.child = None;
                return Ok(());
            }
            let left = match self.common.capture.duration {
                Some(duration) if self.ready => {
                    let left = duration.saturating_sub(self.started.elapsed());
                    if left.is_zero() {
                        return Ok(());
                    }
                    Some(left)
                }
                _ => None,
            };
            if !drained.more {
                let tick = self.module.wakes_within();
                if !self.waiter.wait([tick, left].into_iter().flatten().min())? {
                    return Ok(());
                }
            }
        }
    }

    fn take_findings(&mut self) -> anyhow::Result<()> {
        while let Some(finding) = self.search.take() {
            match finding {
                Finding::Planned(plan) => self.attach(plan)?,
                Finding::Refused(path, error) if self.given.contains(&path) => {
                    return Err(error.context(self.flag));
                }
                Finding::Refused(_, error) if go::does_no_tls(&error) => {
                    tracing::debug!("not captured: {}", log::in_one_line(&error));
                }
                Finding::Refused(_, error) => {
                    tracing::warn!("not captured: {}", log::in_one_line(&error));
                }
                Finding::Note(note) => tracing::warn!("{note}"),
                Finding::Searched => self.get_ready()?,
            }
        }
        Ok(())
    }

    fn attach(&mut self, plan: M::Plan) -> anyhow::Result<()> {
        let at = Instant::now();
        match self.module.attach(plan) {
            Ok(()) => {
                tracing::debug!("attaching took {:?}", at.elapsed());
                Ok(())
            }
            Err(error) if self.module.attached() == 0 && !self.given.is_empty() => Err(error),
            Err(error) => {
                tracing::error!("not captured: {}", log::in_one_line(&error));
                Ok(())
            }
        }
    }

    fn get_ready(&mut self) -> anyhow::Result<()> {
        self.ready = true;
        let (attached, what) = (self.module.attached(), self.what);
        if attached == 0 {
            if !self.given.is_empty() {
                bail!("could not attach to any of the files given with {}", self.flag);
            }
            tracing::warn!("no {what} found yet; {}", self.unit.wanted());
        }
        let elapsed = self.started.elapsed().as_millis();
        let attached = self.unit.count(attached);
        tracing::info!(target: "ecapture", "ready: {attached}, {elapsed} ms after the start");
        // What the user asked to last so long starts now.
        self.started = Instant::now();
        if let Some(child) = &self.child {
            child.go();
        }
        Ok(())
    }

    /// After the probes are gone: what is still under way.
    fn drain_rest(&mut self) -> anyhow::Result<()> {
        while !self.module.is_drained() {
            if self.module.drain().records == 0 {
                self.waiter.wait(Some(SETTLED))?;
            }
        }
        Ok(())
    }

    fn finish(mut self) -> anyhow::Result<ExitCode> {
        if let Some(child) = &self.child {
            child.signal(Signal::TERM);
            child.go();
        }
        self.module.detach();
        self.drain_rest()?;
        self.module.finish();
        self.module.flush();
        let balance = self.module.balance();
        let Common { global, capture, .. } = self.common;
        if !global.quiet || balance.lost_anything() {
            // Nobody is left to be told if this fails.
            let _ = writeln!(std::io::stderr(), "ecapture: {}", balance.line());
        }
        if let (Some(path), Some(file)) = (&capture.summary, self.summary.take()) {
            balance.write(path, file)?;
        }
        if let Some(error) = self.module.take_error() {
            return Err(error);
        }
        if capture.strict && balance.lost_anything() {
            return Ok(ExitCode::from(LOST_SOMETHING));
        }
        Ok(ExitCode::from(self.exit))
    }
}

fn open_cgroup(path: &std::path::Path) -> anyhow::Result<OwnedFd> {
    /// `CGROUP2_SUPER_MAGIC` of linux/magic.h.
    const CGROUP2: i64 = 0x6367_7270;
    let what = || format!("--cgroup_path {}", path.display());
    let folder = File::open(path).with_context(what)?;
    let kind = rustix::fs::fstatfs(&folder).with_context(what)?.f_type;
    if kind != CGROUP2 {
        bail!(
            "{}: not in the cgroup version 2 hierarchy; `grep cgroup2 /proc/mounts` tells where that is",
            what()
        );
    }
    Ok(folder.into())
}

fn use_btf(mode: BtfMode) -> anyhow::Result<bool> {
    match mode {
        BtfMode::NonCore => Ok(false),
        BtfMode::Auto => Ok(probe::features::btf()),
        BtfMode::Core if probe::features::btf() => Ok(true),
        BtfMode::Core => bail!(
            "-b 1: this kernel does not describe its types (no /sys/kernel/btf/vmlinux); \
             use -b 0 or -b 2, and do without socket addresses"
        ),
    }
}
