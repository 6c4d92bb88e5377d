//! The tool's own log: standard error, or where `--logaddr` says; never standard output.

use crate::capture::control;
use crate::destination::{self, Destination};
use anyhow::Context as _;
use cli::{Format, Global};
use sink::Batch;
use std::fmt::{Debug, Write as _};
use std::io::IsTerminal as _;
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime as Now, UNIX_EPOCH};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::fmt::time::SystemTime;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

/// Where the log goes, if not to standard error.
static DESTINATIONS: OnceLock<Vec<Destination>> = OnceLock::new();

/// Starts logging as the user asked. `format` is that of the events, if there are any.
pub(crate) fn start(global: &Global, format: Option<Format>) -> anyhow::Result<()> {
    let level = match (global.quiet, global.debug) {
        (true, _) => Level::ERROR,
        (_, true) => Level::DEBUG,
        _ => Level::INFO,
    };
    let hub = global.control.ecaptureq.is_some().then(control::start_stream);
    let subscriber = tracing_subscriber::registry()
        .with(LevelFilter::from_level(level))
        .with(hub.map(|_| control::ToHub));
    if global.log.is_empty() {
        let colour = std::io::stderr().is_terminal()
            && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let lines = tracing_subscriber::fmt::layer().with_timer(SystemTime).with_target(true);
        let lines = lines.fmt_fields(debug_fn(write_visible));
        subscriber.with(lines.with_ansi(colour).with_writer(std::io::stderr)).init();
        return Ok(());
    }
    let open = |given: &cli::Destination| {
        // Without events, rotation is nobody's.
        Destination::open(given, format.unwrap_or_default(), global)
            .with_context(|| format!("--logaddr {}", given.name))
    };
    // Before they are opened: what they say of themselves is logged too, as soon as they are there.
    subscriber.with(ToDestinations).init();
    let opened = global.log.iter().map(open).collect::<anyhow::Result<Vec<_>>>()?;
    // Nobody else does.
    let _ = DESTINATIONS.set(opened);
    Ok(())
}

/// Writes a field of an entry. Paths and names of processes come from others, who could forge lines.
fn write_visible(writer: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> std::fmt::Result {
    let mut message = Message::default();
    message.record_debug(field, value);
    writer.write_str(&sink::visible(&message.0))
}

/// Where the log goes: for events that go there too.
pub(crate) fn destinations() -> &'static [Destination] {
    DESTINATIONS.get().map_or(&[], Vec::as_slice)
}

/// At the end of the program.
pub(crate) fn finish() {
    destination::finish(destinations());
}

/// Writes to every destination in its format.
struct ToDestinations;

impl<S: Subscriber> Layer<S> for ToDestinations {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut message = Message::default();
        event.record(&mut message);
        let meta = event.metadata();
        let entry = Entry { level: *meta.level(), target: meta.target(), text: message.0 };
        for destination in destinations() {
            // A log that cannot be written cannot say so.
            let _ =
                destination.receiver.take(&Arc::new(Batch::one(entry.encode(destination.format))));
        }
    }
}

/// A line of the log.
struct Entry<'a> {
    level: Level,
    target: &'a str,
    text: String,
}

impl Entry<'_> {
    fn encode(&self, format: Format) -> Vec<u8> {
        match format {
            Format::Text => (self.line() + "\n").into_bytes(),
            Format::Protobuf => sink::run_log(self.line()),
            Format::Json => {
                let line = serde_json::json!({
                    "level": self.level.as_str().to_lowercase(),
                    "time": now(),
                    "target": self.target,
                    "message": self.text,
                });
                (line.to_string() + "\n").into_bytes()
            }
        }
    }

    fn line(&self) -> String {
        format!("{} {:>5} {}: {}", now(), self.level, self.target, sink::visible(&self.text))
    }
}

fn now() -> String {
    let since = Now::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    sink::rfc3339(event::Timestamp(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)))
}

/// The message of a log entry, other fields behind it.
#[derive(Default)]
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a string cannot fail.
        let _ = if field.name() == "message" {
            write!(self.0, "{value:?}")
        } else {
            write!(self.0, " {}={value:?}", field.name())
        };
    }
}

/// An error and its causes. Many of ours name their cause themselves: nothing is said twice.
pub(crate) fn in_one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if line.contains(&cause) {
            continue;
        }
        if !line.is_empty() {
            line += ": ";
        }
        line += &cause;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;
    use std::sync::Mutex;

    #[test]
    fn causes_are_named_once() {
        let error = anyhow!("no space").context("cannot write: no space").context("--output x");
        assert_eq!(in_one_line(&error), "--output x: cannot write: no space");
    }

    #[test]
    fn a_line_has_time_level_and_message_in_every_format() {
        let entry = Entry { level: Level::WARN, target: "t", text: "a \"b\"\nc".to_owned() };
        let text = String::from_utf8(entry.encode(Format::Text)).unwrap();
        assert!(text.ends_with("Z  WARN t: a \"b\"\\nc\n"), "{text}");
        let json: serde_json::Value = serde_json::from_slice(&entry.encode(Format::Json)).unwrap();
        assert_eq!((&json["level"], &json["message"]), (&"warn".into(), &"a \"b\"\nc".into()));
    }

    #[test]
    fn a_name_cannot_forge_a_line() {
        let written: Arc<Mutex<Vec<u8>>> = Arc::default();
        let lines =
            tracing_subscriber::fmt::layer().without_time().fmt_fields(debug_fn(write_visible));
        let to = Arc::clone(&written);
        let lines = lines.with_ansi(false).with_writer(move || To(Arc::clone(&to)));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), || {
            tracing::info!(target: "t", number = 5, "attached to {}", "/tmp/a\nb\u{1b}[31m\u{202e}");
        });
        let written = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        let expected = " INFO t: attached to /tmp/a\\nb\\x1b[31m\\u{202e} number=5\n";
        assert_eq!(written, expected);
    }

    struct To(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for To {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
}
