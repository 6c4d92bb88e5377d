//! Where records go, and when that is over.

use super::Common;
use super::control::Stream;
use super::module::View;
use crate::destination::{self, Destination, DestinationReport};
use crate::log;
use anyhow::{Context as _, bail};
use cli::{CaptureConfig, Format};
use event::{Command, LossTable, Query, Record};
use flow::Emit;
use sink::{Broadcast, Encoder, Har, Inset, Output, OutputError, OutputState};
use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Writes records until enough were written, nobody reads any more, or writing fails.
pub(crate) struct Writer {
    /// Standard output, or the file of `--output`.
    output: Option<Output>,
    /// The other destinations, by format.
    broadcasts: Vec<Broadcast>,
    destinations: Vec<Destination>,
    encoders: Encoders,
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
        let view = View { hex: global.hex, tsize: global.tsize };
        let mut encoders = Encoders::new(capture, global.control.listen.is_some());
        let format = capture.format;
        let rotates = global.rotate.bytes.is_some() || global.rotate.time.is_some();
        let mut destinations = Vec::new();
        let mut output = None;
        if let Some(path) = &capture.output {
            let context = || format!("--output {}", path.display());
            if rotates {
                let file = Destination::file(path, format, global).with_context(context)?;
                destinations.push(file);
            } else {
                let encoder = encoders.make(format, false, view);
                output = Some(Output::file(path, encoder).with_context(context)?);
            }
        }
        if capture.stdout {
            let terminal = std::io::stdout().is_terminal();
            if terminal && format == Format::Protobuf {
                bail!("--format protobuf is not for terminals: redirect it, or give --output FILE");
            }
            let encoder = encoders.make(format, terminal, view);
            output = Some(Output::stdout(encoder).context("cannot use standard output")?);
        }
        for given in &global.events {
            let opened = Destination::open(given, format, global)
                .with_context(|| format!("--eventaddr {}", given.name))?;
            destinations.push(opened);
        }
        if capture.to_log {
            destinations.extend_from_slice(log::destinations());
        }
        let har = har
            .map(|path| Har::create(path, env!("CARGO_PKG_VERSION")))
            .transpose()
            .context("--har")?;
        let limit = capture.count.map(std::num::NonZeroU64::get);
        let broadcasts = broadcasts(&mut encoders, view, &destinations);
        Ok(Self {
            output,
            broadcasts,
            destinations,
            encoders,
            stream: Stream::new(limit_of(view)),
            har,
            records: 0,
            limit,
            error: None,
        })
    }

    pub(crate) fn flush(&mut self) {
        if let Some(Err(error)) = self.output.as_mut().map(Output::flush) {
            self.error = Some(error.into());
        }
        for broadcast in &mut self.broadcasts {
            if let Err(error) = broadcast.flush() {
                self.error = Some(error.into());
            }
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
        self.flush();
        destination::finish(&self.destinations);
    }

    /// Writes records like this from now on.
    pub(crate) fn set_view(&self, view: View) -> anyhow::Result<()> {
        self.encoders.set(view)
    }

    /// True if there is no use in capturing more.
    pub(crate) fn is_done(&self) -> bool {
        self.enough() || self.state() != OutputState::Open
    }

    /// Whether anybody still takes records.
    fn state(&self) -> OutputState {
        let output = self.output.iter().map(Output::state);
        let mut states = output.chain(self.broadcasts.iter().map(Broadcast::state));
        let first = states.next().unwrap_or(OutputState::Open);
        if states.any(|state| state == OutputState::Open) { OutputState::Open } else { first }
    }

    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    /// Records that could not be written. One that nobody wanted to read any more is not lost.
    fn lost(&self) -> u64 {
        let output = match &self.output {
            Some(output) if output.state() == OutputState::Failed => output.stats().discarded,
            _ => 0,
        };
        output + self.har.as_ref().map_or(0, |har| har.stats().discarded)
    }

    /// Adds what no output took, and what did not get through to destinations.
    pub(crate) fn add_losses(&self, lost: &mut LossTable) {
        lost.add("output", self.lost(), 0);
        for destination in &self.destinations {
            lost.add("destination", destination.report().lost(), 0);
        }
    }

    /// What became of the records for each destination that the user named.
    pub(crate) fn destinations(&self) -> Vec<DestinationReport> {
        self.destinations.iter().map(Destination::report).collect()
    }

    pub(crate) fn take_error(&mut self) -> Option<anyhow::Error> {
        self.error.take()
    }

    /// Writes a command line.
    pub(crate) fn command(&mut self, command: &Command) {
        if !self.enough() {
            if let Some(stream) = &mut self.stream {
                stream.command(command);
            }
            self.write(
                |output| output.write_command(command),
                |encoder, out| encoder.command(command, out),
            );
        }
    }

    /// Writes a statement.
    pub(crate) fn query(&mut self, query: &Query) {
        if !self.enough() {
            if let Some(stream) = &mut self.stream {
                stream.query(query);
            }
            self.write(
                |output| output.write_query(query),
                |encoder, out| encoder.query(query, out),
            );
        }
    }

    fn write(
        &mut self,
        to_output: impl Fn(&mut Output) -> Result<OutputState, OutputError>,
        encode: impl Fn(&mut dyn Encoder, &mut Vec<u8>),
    ) {
        let mut taken = false;
        if let Some(output) = &mut self.output {
            match to_output(output) {
                Ok(state) => taken |= state == OutputState::Open,
                Err(error) => self.error = Some(error.into()),
            }
        }
        for broadcast in &mut self.broadcasts {
            match broadcast.write_with(&encode) {
                Ok(()) => taken = true,
                Err(error) => self.error = Some(error.into()),
            }
        }
        self.records += u64::from(taken);
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
        self.write(|output| output.write(record), |encoder, out| encoder.encode(record, out));
    }
}

/// One encoder for all destinations of a format.
fn broadcasts(encoders: &mut Encoders, view: View, destinations: &[Destination]) -> Vec<Broadcast> {
    [Format::Text, Format::Json, Format::Protobuf]
        .into_iter()
        .filter_map(|format| {
            let of_format = destinations.iter().filter(|destination| destination.format == format);
            let receivers: Vec<_> = of_format.map(|one| one.receiver.clone()).collect();
            let any = !receivers.is_empty();
            any.then(|| Broadcast::new(encoders.make(format, false, view), receivers))
        })
        .collect()
}

/// Which format the user wants, as an encoder.
fn encoder(capture: &CaptureConfig, format: Format, terminal: bool, view: View) -> BoxedEncoder {
    let hex = view.hex;
    let tsize = limit_of(view);
    match format {
        Format::Json => {
            Box::new(sink::JsonEncoder::new(sink::JsonOptions { tsize, escape: terminal }))
        }
        Format::Protobuf => Box::new(sink::ProtobufEncoder::new(sink::ProtobufOptions { tsize })),
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

/// Makes encoders, which can be exchanged between two records if that was asked for.
struct Encoders {
    capture: CaptureConfig,
    /// `None` if they stay as they are.
    live: Option<Vec<Live>>,
}

/// An encoder that can be exchanged, its format and whether it is for a terminal.
type Live = (Format, bool, Arc<Mutex<BoxedEncoder>>);

/// What an output has of an encoder that can be exchanged.
struct Handle(Arc<Mutex<BoxedEncoder>>);

fn lock(encoder: &Mutex<BoxedEncoder>) -> MutexGuard<'_, BoxedEncoder> {
    encoder.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Encoders {
    fn new(capture: &CaptureConfig, changeable: bool) -> Self {
        Self { capture: capture.clone(), live: changeable.then(Vec::new) }
    }

    fn make(&mut self, format: Format, terminal: bool, view: View) -> BoxedEncoder {
        let encoder = encoder(&self.capture, format, terminal, view);
        let Some(live) = &mut self.live else { return encoder };
        let now = Arc::new(Mutex::new(encoder));
        live.push((format, terminal, Arc::clone(&now)));
        Box::new(Handle(now))
    }

    fn set(&self, view: View) -> anyhow::Result<()> {
        let Some(live) = &self.live else {
            bail!("without --listen the output cannot be changed");
        };
        if view.hex && self.capture.format == Format::Json {
            bail!("hexadecimal goes with text only: bytes that are no text are in base64 in JSON");
        }
        for (format, terminal, now) in live {
            // The numbers of protobuf messages go on, so their encoder stays, with its limit.
            if *format != Format::Protobuf {
                *lock(now) = encoder(&self.capture, *format, *terminal, view);
            }
        }
        Ok(())
    }
}

impl Encoder for Handle {
    fn encode_around(&mut self, record: &Record<'_>, out: &mut Vec<u8>) -> Option<Inset> {
        lock(&self.0).encode_around(record, out)
    }

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
