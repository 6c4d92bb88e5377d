//! Where records go, and when that is over.

use super::Common;
use super::control::Stream;
use super::module::View;
use anyhow::{Context as _, bail};
use cli::{CaptureConfig, Format};
use event::{Command, Query, Record};
use flow::Emit;
use sink::{Encoder, Har, Output, OutputError, OutputState};
use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Writes records until enough were written, nobody reads any more, or writing fails.
pub(crate) struct Writer {
    output: Output,
    live: Option<Live>,
    /// What goes to eCaptureQ.
    stream: Option<Stream>,
    har: Option<Har>,
    records: u64,
    limit: Option<u64>,
    error: Option<anyhow::Error>,
}

impl Writer {
    pub(super) fn open(common: Common<'_>, har: Option<&Path>) -> anyhow::Result<Self> {
        let Common { global, capture, .. } = common;
        let terminal = capture.output.is_none() && std::io::stdout().is_terminal();
        let view = View { hex: global.hex, tsize: global.tsize };
        let live = global.control.listen.is_some().then(|| Live::new(capture, terminal, view));
        let encoder = match &live {
            Some(live) => live.encoder(),
            None => encoder(capture, terminal, view),
        };
        let output = match &capture.output {
            Some(path) => Output::file(path, encoder)
                .with_context(|| format!("--output {}", path.display()))?,
            None => Output::stdout(encoder).context("cannot use standard output")?,
        };
        let har = har
            .map(|path| Har::create(path, env!("CARGO_PKG_VERSION")))
            .transpose()
            .context("--har")?;
        let limit = common.capture.count.map(std::num::NonZeroU64::get);
        Ok(Self {
            output,
            live,
            stream: Stream::new(limit_of(view)),
            har,
            records: 0,
            limit,
            error: None,
        })
    }

    pub(crate) fn flush(&mut self) {
        if let Err(error) = self.output.flush() {
            self.error = Some(error.into());
        }
        if let Some(Err(error)) = self.har.as_mut().map(Har::flush) {
            self.error = Some(error.into());
        }
    }

    /// To be called after the last record.
    pub(crate) fn finish(&mut self) {
        if let Some(Err(error)) = self.har.as_mut().map(Har::finish) {
            self.error = Some(error.into());
        }
    }

    /// Writes records like this from now on.
    pub(super) fn set_view(&self, view: View) -> anyhow::Result<()> {
        match &self.live {
            Some(live) => live.set(view),
            None => bail!("without --listen the output cannot be changed"),
        }
    }

    /// True if there is no use in capturing more.
    pub(crate) fn is_done(&self) -> bool {
        self.enough() || self.output.state() != OutputState::Open
    }

    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    /// Records that could not be written. One that nobody wanted to read any more is not lost.
    pub(crate) fn lost(&self) -> u64 {
        let output = match self.output.state() {
            OutputState::Failed => self.output.stats().discarded,
            OutputState::Open | OutputState::Closed => 0,
        };
        output + self.har.as_ref().map_or(0, |har| har.stats().discarded)
    }

    pub(crate) fn take_error(&mut self) -> Option<anyhow::Error> {
        self.error.take()
    }

    /// Writes a command line.
    pub(crate) fn command(&mut self, command: &Command) {
        if self.enough() {
            return;
        }
        if let Some(stream) = &mut self.stream {
            stream.command(command);
        }
        let outcome = self.output.write_command(command);
        self.count(outcome);
    }

    /// Writes a statement.
    pub(crate) fn query(&mut self, query: &Query) {
        if self.enough() {
            return;
        }
        if let Some(stream) = &mut self.stream {
            stream.query(query);
        }
        let outcome = self.output.write_query(query);
        self.count(outcome);
    }

    fn count(&mut self, outcome: Result<OutputState, OutputError>) {
        match outcome {
            Ok(OutputState::Open) => self.records += 1,
            Ok(_) => {}
            Err(error) => self.error = Some(error.into()),
        }
    }

    fn enough(&self) -> bool {
        self.limit.is_some_and(|limit| self.records >= limit)
    }
}

impl Emit for Writer {
    fn emit(&mut self, record: &Record<'_>) {
        if self.enough() {
            return;
        }
        if let Some(har) = &mut self.har {
            har.record(record);
        }
        if let Some(stream) = &mut self.stream {
            stream.record(record);
        }
        let outcome = self.output.write(record);
        self.count(outcome);
    }
}

/// Which format the user wants, as an encoder.
fn encoder(capture: &CaptureConfig, terminal: bool, view: View) -> BoxedEncoder {
    let hex = view.hex;
    let tsize = limit_of(view);
    match capture.format {
        Format::Json => {
            Box::new(sink::JsonEncoder::new(sink::JsonOptions { tsize, escape: terminal }))
        }
        Format::Text => Box::new(sink::TextEncoder::new(sink::TextOptions {
            color: capture.color.enabled(terminal, std::env::var_os("NO_COLOR").as_deref()),
            escape: terminal,
            hex,
            tsize,
        })),
    }
}

/// How much of a payload is shown.
fn limit_of(view: View) -> Option<usize> {
    view.tsize.map(|limit| usize::try_from(limit.get()).unwrap_or(usize::MAX))
}

type BoxedEncoder = Box<dyn Encoder + Send>;

/// An encoder that can be exchanged between two records.
struct Live {
    capture: CaptureConfig,
    terminal: bool,
    now: Arc<Mutex<BoxedEncoder>>,
}

/// What the output has of it.
struct Handle(Arc<Mutex<BoxedEncoder>>);

fn lock(encoder: &Mutex<BoxedEncoder>) -> MutexGuard<'_, BoxedEncoder> {
    encoder.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Live {
    fn new(capture: &CaptureConfig, terminal: bool, view: View) -> Self {
        let now = Arc::new(Mutex::new(encoder(capture, terminal, view)));
        Self { capture: capture.clone(), terminal, now }
    }

    fn encoder(&self) -> BoxedEncoder {
        Box::new(Handle(Arc::clone(&self.now)))
    }

    fn set(&self, view: View) -> anyhow::Result<()> {
        if view.hex && self.capture.format == Format::Json {
            bail!("hexadecimal goes with text only: bytes that are no text are in base64 in JSON");
        }
        *lock(&self.now) = encoder(&self.capture, self.terminal, view);
        Ok(())
    }
}

impl Encoder for Handle {
    fn encode(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        lock(&self.0).encode(record, out);
    }

    fn command(&mut self, command: &Command, out: &mut Vec<u8>) {
        lock(&self.0).command(command, out);
    }

    fn query(&mut self, query: &Query, out: &mut Vec<u8>) {
        lock(&self.0).query(query, out);
    }
}
