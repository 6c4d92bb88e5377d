//! `ecapture tls`: a capture from its start to its balance.
//!
//! This thread parses and writes. What it works off was copied out of the kernel's rings by the reader
//! (in `probe`); if it is too slow for too long, the reader stops, the rings fill up and the kernel
//! side counts what is lost. A third thread finds libraries.

mod balance;
mod libraries;
mod output;
mod signals;
mod wait;

use crate::analysis::Planned;
use crate::child::{self, Child};
use crate::log;
use anyhow::{Context as _, bail};
use balance::{Balance, FunctionReport, LibraryReport};
use cli::{BtfMode, Format, TlsConfig};
use discover::Candidate;
use event::Event;
use flow::Flow;
use libraries::{Finding, Libraries, Search};
use output::Writer;
use probe::clock;
use probe::features::Without;
use probe::tls::{Capture, Drained, Options};
use rustix::process::Signal;
use signals::Signals;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use wait::Waiter;

/// How often held messages are looked at, when there are any.
const TICK: Duration = Duration::from_millis(100);
/// A record may be in a ring this long after the time that it carries.
const SETTLED: Duration = Duration::from_millis(50);
/// Bytes that may wait in memory after a burst: what the socket buffers of a few dozen connections
/// hold.
const QUEUE: usize = 128 << 20;
/// The exit status when something was lost and the user wanted to know.
const LOST_SOMETHING: u8 = 3;

/// Captures until told to stop.
pub(crate) fn run(config: &TlsConfig) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let signals = Signals::catch(config.capture.program.is_empty())?;
    let mut run = Run::start(config, started)?;
    run.until_told(config, &signals)?;
    run.finish(config)
}

/// A running capture with everything that belongs to it.
struct Run {
    started: Instant,
    child: Option<Child>,
    libraries: Libraries,
    capture: Capture,
    flow: Flow,
    writer: Writer,
    summary: Option<File>,
    waiter: Waiter,
    attached: Vec<Planned>,
    /// Every library that was there at the start is attached to.
    ready: bool,
    exit: u8,
}

impl Run {
    fn start(config: &TlsConfig, started: Instant) -> anyhow::Result<Self> {
        for note in &config.notes {
            tracing::warn!("{note}");
        }
        for pid in &config.global.pids {
            if !discover::process::exists(*pid) {
                bail!("--pid {pid}: there is no such process");
            }
        }
        let given = given(config)?;
        let cgroup = config.capture.cgroup.as_deref().map(open_cgroup).transpose()?;
        let writer = Writer::open(config)?;
        let summary = config.capture.summary.as_deref().map(balance::open).transpose()?;
        let program = &config.capture.program;
        let child = if program.is_empty() { None } else { Some(Child::start(program)?) };

        let pids = match &child {
            Some(child) => Some(vec![child.pid()]),
            None if config.global.pids.is_empty() => None,
            None => Some(config.global.pids.clone()),
        };
        let capture = Capture::load(Options {
            ring_bytes: usize::try_from(config.global.buffer_bytes_per_cpu)?,
            queue_bytes: QUEUE,
            use_btf: use_btf(config.global.btf)?,
            without: Without::from_environment()?,
            pids,
            follow_children: child.is_some(),
            uid: config.global.uid,
            cgroup,
        })?;
        for note in capture.notes() {
            tracing::warn!("{note}");
        }
        tracing::debug!("programs loaded after {:?}", started.elapsed());
        let everything = config.libssl.is_empty();
        let libraries = Libraries::search(Search {
            given: given.into_iter().chain(program_file(config)).collect(),
            pids: config.global.pids.clone(),
            placement: match config.placement {
                cli::Placement::Auto => target::Placement::Auto,
                cli::Placement::Entry => target::Placement::Entry,
            },
            everything,
        })
        .context("cannot start to search for libraries")?;
        let waiter = Waiter::new(&capture, &libraries)?;
        Ok(Self {
            started,
            child,
            libraries,
            capture,
            flow: Flow::new(flow::Options { parse: config.capture.parse, ..Default::default() }),
            writer,
            summary,
            waiter,
            attached: Vec::new(),
            ready: false,
            exit: 0,
        })
    }

    fn until_told(&mut self, config: &TlsConfig, signals: &Signals) -> anyhow::Result<()> {
        self.waiter.add(signals.fd())?;
        if config.capture.output.is_none() {
            self.waiter.add_stdout();
        }
        let mut asked = false;
        loop {
            let drained = self.drain();
            self.writer.flush();
            if self.writer.is_done() {
                return Ok(());
            }
            self.take_findings(config)?;
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
            let left = match config.capture.duration {
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
                let tick = self.flow.wants_tick().then_some(TICK);
                if !self.waiter.wait([tick, left].into_iter().flatten().min())? {
                    return Ok(());
                }
            }
        }
    }

    /// Hands out what the rings hold, and tells the flow how far the record is complete.
    fn drain(&mut self) -> Drained {
        let Self { capture, flow, writer, .. } = self;
        let complete = clock::monotonic().saturating_sub(SETTLED.as_nanos() as u64);
        let drained = capture.drain(|event| flow.event(event, writer));
        // What still waits in the queue may be older than that.
        if !drained.more && flow.wants_tick() {
            flow.event(Event::Tick { ts: capture.time(complete) }, writer);
        }
        drained
    }

    /// After the probes are gone: what is still under way.
    fn drain_rest(&mut self) -> anyhow::Result<()> {
        while !self.capture.is_drained() {
            if self.drain().records == 0 {
                self.waiter.wait(Some(SETTLED))?;
            }
        }
        Ok(())
    }

    fn take_findings(&mut self, config: &TlsConfig) -> anyhow::Result<()> {
        while let Some(finding) = self.libraries.take() {
            match finding {
                Finding::Library(planned) => self.attach(*planned, config)?,
                Finding::Refused(path, error) if config.libssl.contains(&path) => {
                    return Err(error.context("--libssl"));
                }
                Finding::Refused(_, error) => {
                    tracing::warn!("not captured: {}", log::in_one_line(&error));
                }
                Finding::Note(note) => tracing::warn!("{note}"),
                Finding::Searched => self.get_ready(config)?,
            }
        }
        Ok(())
    }

    fn attach(&mut self, planned: Planned, config: &TlsConfig) -> anyhow::Result<()> {
        let at = Instant::now();
        let outcome = self.capture.attach(
            planned.library.clone(),
            &planned.file,
            planned.layout,
            &planned.functions,
        );
        match outcome {
            Ok(_) => {
                tracing::info!(
                    "attached to {} ({}), {} functions",
                    planned.library.path,
                    planned.version.as_deref().unwrap_or("version unknown"),
                    planned.functions.len(),
                );
                tracing::debug!("attaching took {:?}", at.elapsed());
                self.attached.push(planned);
                Ok(())
            }
            Err(error) if self.attached.is_empty() && !config.libssl.is_empty() => {
                Err(error.into())
            }
            Err(error) => {
                tracing::error!("not captured: {error}");
                Ok(())
            }
        }
    }

    fn get_ready(&mut self, config: &TlsConfig) -> anyhow::Result<()> {
        self.ready = true;
        if self.attached.is_empty() {
            if !config.libssl.is_empty() {
                bail!("could not attach to any of the files given with --libssl");
            }
            tracing::warn!(
                "no OpenSSL-family library found yet; waiting for a program that brings one"
            );
        }
        let elapsed = self.started.elapsed();
        tracing::info!(
            target: "ecapture",
            "ready: {} libraries, {} ms after the start",
            self.attached.len(),
            elapsed.as_millis()
        );
        // What the user asked to last so long starts now.
        self.started = Instant::now();
        if let Some(child) = &self.child {
            child.go();
        }
        Ok(())
    }

    fn finish(mut self, config: &TlsConfig) -> anyhow::Result<ExitCode> {
        if let Some(child) = &self.child {
            child.signal(Signal::TERM);
            child.go();
        }
        self.capture.detach();
        self.drain_rest()?;
        let Self { capture, flow, writer, .. } = &mut self;
        capture.finish(|event| flow.event(event, writer));
        self.flow.finish(&mut self.writer);
        self.writer.flush();

        let tally = self.capture.tally();
        let mut lost = tally.lost.clone();
        for (place, loss) in self.flow.stats().lost.iter() {
            // A gap in a stream is where the kernel's own count already says that bytes were lost.
            if place != "gap" {
                lost.add(place, loss.events, loss.bytes);
            }
        }
        lost.add("output", self.writer.lost(), 0);
        let libraries = self.library_reports();
        let balance = Balance::new(&tally, &lost, self.writer.records(), libraries);
        if !config.global.quiet || balance.lost_anything() {
            // Nobody is left to be told if this fails.
            let _ = writeln!(std::io::stderr(), "ecapture: {}", balance.line());
        }
        if let (Some(path), Some(file)) = (&config.capture.summary, self.summary.take()) {
            balance.write(path, file)?;
        }
        if let Some(error) = self.writer.take_error() {
            return Err(error.into());
        }
        if config.capture.strict && balance.lost_anything() {
            return Ok(ExitCode::from(LOST_SOMETHING));
        }
        Ok(ExitCode::from(self.exit))
    }

    fn library_reports(&self) -> Vec<LibraryReport> {
        self.attached
            .iter()
            .enumerate()
            .map(|(number, planned)| LibraryReport {
                path: planned.library.path.clone(),
                build_id: planned.library.build_id.clone(),
                version: planned.version.clone(),
                functions: self
                    .capture
                    .hits(number)
                    .into_iter()
                    .zip(&planned.analysis.functions)
                    .map(|((name, hits), plan)| FunctionReport {
                        name,
                        placement: plan.placement,
                        hits,
                    })
                    .collect(),
            })
            .collect()
    }
}

fn given(config: &TlsConfig) -> anyhow::Result<Vec<Candidate>> {
    config.libssl.iter().map(|path| discover::given(path).context("--libssl")).collect()
}

/// The program after `--`, if it carries TLS itself: it runs from its own file at once.
fn program_file(config: &TlsConfig) -> Option<Candidate> {
    let path = child::executable(config.capture.program.first()?)?;
    let candidate = discover::given(&path).ok()?;
    config.libssl.is_empty().then_some(candidate).filter(|candidate| {
        std::fs::read(candidate.open_path()).is_ok_and(|bytes| target::carries_tls(&bytes))
    })
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

/// Which format the user wants, as an encoder.
fn encoder(config: &TlsConfig, terminal: bool) -> Box<dyn sink::Encoder + Send> {
    let tsize = config.global.tsize.map(|limit| usize::try_from(limit.get()).unwrap_or(usize::MAX));
    match config.capture.format {
        Format::Json => {
            Box::new(sink::JsonEncoder::new(sink::JsonOptions { tsize, escape: terminal }))
        }
        Format::Text => Box::new(sink::TextEncoder::new(sink::TextOptions {
            color: config.capture.color.enabled(terminal, std::env::var_os("NO_COLOR").as_deref()),
            escape: terminal,
            hex: config.global.hex,
            tsize,
        })),
    }
}
