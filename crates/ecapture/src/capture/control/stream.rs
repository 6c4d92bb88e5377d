//! The event stream for eCaptureQ: records and lines of the log on their way to the hub.

use control::{Encode, Hub, Listener};
use event::{Command, Query, Record};
use prost::Message as _;
use sink::proto::{Heartbeat, LogEntry, LogType, log_entry};
use sink::{Encoder as _, ProtobufEncoder, ProtobufOptions};
use std::fmt::{Debug, Write as _};
use std::sync::OnceLock;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

static HUB: OnceLock<Hub> = OnceLock::new();

/// The hub, if events are served: the log starts before everything else, so it is one for the process.
pub(crate) fn hub() -> Option<&'static Hub> {
    HUB.get()
}

/// Makes the hub.
pub(crate) fn start() -> &'static Hub {
    HUB.get_or_init(Hub::default)
}

/// Sends records to the hub.
pub(crate) struct Stream {
    hub: &'static Hub,
    encoder: ProtobufEncoder,
    entry: Vec<u8>,
}

impl Stream {
    /// `None`: no events are served.
    pub(crate) fn new(tsize: Option<usize>) -> Option<Self> {
        let encoder = ProtobufEncoder::new(ProtobufOptions { tsize });
        hub().map(|hub| Self { hub, encoder, entry: Vec::new() })
    }

    pub(crate) fn record(&mut self, record: &Record<'_>) {
        if self.hub.has_listeners() {
            self.encoder.encode(record, &mut self.entry);
            self.send();
        }
    }

    pub(crate) fn command(&mut self, command: &Command) {
        if self.hub.has_listeners() {
            self.encoder.command(command, &mut self.entry);
            self.send();
        }
    }

    pub(crate) fn query(&mut self, query: &Query) {
        if self.hub.has_listeners() {
            self.encoder.query(query, &mut self.entry);
            self.send();
        }
    }

    /// A WebSocket message has a length of its own.
    fn send(&mut self) {
        let mut rest = self.entry.as_slice();
        if prost::decode_length_delimiter(&mut rest).is_ok() {
            self.hub.event(rest.to_vec());
        }
        self.entry.clear();
    }
}

/// What the server needs to serve it.
pub(super) fn serve(listener: Listener) -> control::Stream {
    control::Stream { listener, hub: start().clone(), encode: Box::new(Entries) }
}

struct Entries;

impl Encode for Entries {
    fn log(&self, line: &str) -> Vec<u8> {
        let payload = Some(log_entry::Payload::RunLog(line.to_owned()));
        LogEntry { log_type: LogType::ProcessLog.into(), payload }.encode_to_vec()
    }

    fn heartbeat(&self, seconds: i64, count: i64, message: &str) -> Vec<u8> {
        let heartbeat = Heartbeat { timestamp: seconds, count, message: message.to_owned() };
        let payload = Some(log_entry::Payload::HeartbeatPayload(heartbeat));
        LogEntry { log_type: LogType::Heartbeat.into(), payload }.encode_to_vec()
    }
}

/// Sends the lines of the log to the hub.
pub(crate) struct ToHub;

impl<S: Subscriber> Layer<S> for ToHub {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let Some(hub) = hub() else { return };
        let meta = event.metadata();
        let mut line = Line(format!("{} {}: ", meta.level(), meta.target()));
        event.record(&mut line);
        hub.log(&line.0);
    }
}

/// A line of the log, its message with other fields behind it.
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a string cannot fail.
        let _ = if field.name() == "message" {
            write!(self.0, "{value:?}")
        } else {
            write!(self.0, " {}={value:?}", field.name())
        };
    }
}
