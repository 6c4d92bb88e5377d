//! Where records go, and when that is over.

use super::Common;
use anyhow::Context as _;
use cli::Format;
use event::{Command, Query, Record};
use flow::Emit;
use sink::{Har, Output, OutputError, OutputState};
use std::io::IsTerminal as _;
use std::path::Path;

/// Writes records until enough were written, nobody reads any more, or writing fails.
pub(crate) struct Writer {
    output: Output,
    har: Option<Har>,
    records: u64,
    limit: Option<u64>,
    error: Option<anyhow::Error>,
}

impl Writer {
    pub(super) fn open(common: Common<'_>, har: Option<&Path>) -> anyhow::Result<Self> {
        let output = match &common.capture.output {
            Some(path) => Output::file(path, encoder(common, false))
                .with_context(|| format!("--output {}", path.display()))?,
            None => Output::stdout(encoder(common, std::io::stdout().is_terminal()))
                .context("cannot use standard output")?,
        };
        let har = har
            .map(|path| Har::create(path, env!("CARGO_PKG_VERSION")))
            .transpose()
            .context("--har")?;
        let limit = common.capture.count.map(std::num::NonZeroU64::get);
        Ok(Self { output, har, records: 0, limit, error: None })
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
        let outcome = self.output.write_command(command);
        self.count(outcome);
    }

    /// Writes a statement.
    pub(crate) fn query(&mut self, query: &Query) {
        if self.enough() {
            return;
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
        let outcome = self.output.write(record);
        self.count(outcome);
    }
}

/// Which format the user wants, as an encoder.
fn encoder(common: Common<'_>, terminal: bool) -> Box<dyn sink::Encoder + Send> {
    let Common { global, capture, .. } = common;
    let tsize = global.tsize.map(|limit| usize::try_from(limit.get()).unwrap_or(usize::MAX));
    match capture.format {
        Format::Json => {
            Box::new(sink::JsonEncoder::new(sink::JsonOptions { tsize, escape: terminal }))
        }
        Format::Text => Box::new(sink::TextEncoder::new(sink::TextOptions {
            color: capture.color.enabled(terminal, std::env::var_os("NO_COLOR").as_deref()),
            escape: terminal,
            hex: global.hex,
            tsize,
        })),
    }
}
