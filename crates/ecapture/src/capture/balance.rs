//! What was seen, written and lost: one line for people, a file for programs.

use crate::destination::DestinationReport;
use anyhow::Context as _;
use event::LossTable;
use nix::sys::resource::{UsageWho, getrusage};
use probe::tls::Tally;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;

/// Events and bytes by direction.
#[derive(Debug, Serialize)]
struct Traffic {
    send: u64,
    recv: u64,
}

#[derive(Debug, Serialize)]
struct Lost {
    events: u64,
    bytes: u64,
    by: BTreeMap<&'static str, Place>,
}

#[derive(Debug, Serialize)]
struct Place {
    events: u64,
    bytes: u64,
}

/// One library in the summary.
#[derive(Debug, Serialize)]
pub(crate) struct LibraryReport {
    pub(crate) path: String,
    pub(crate) build_id: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) functions: Vec<FunctionReport>,
}

/// One probed function in the summary.
#[derive(Debug, Serialize)]
pub(crate) struct FunctionReport {
    pub(crate) name: String,
    pub(crate) placement: target::PlacementKind,
    pub(crate) hits: u64,
}

/// Plaintext that was seen. Bytes are payload.
#[derive(Debug, Serialize)]
pub(crate) struct Plaintext {
    connections: u64,
    calls: Traffic,
    bytes: Traffic,
    /// Calls of `SSL_peek`: seen, not data.
    peeks: u64,
    /// What went out by `SSL_sendfile` and cannot be shown.
    sendfile_bytes: u64,
}

impl From<&Tally> for Plaintext {
    fn from(tally: &Tally) -> Self {
        Self {
            connections: tally.connections,
            calls: Traffic { send: tally.calls_send, recv: tally.calls_recv },
            bytes: Traffic { send: tally.bytes_send, recv: tally.bytes_recv },
            peeks: tally.peeks,
            sendfile_bytes: tally.sendfile_bytes,
        }
    }
}

impl Plaintext {
    fn line(&self) -> String {
        format!(
            "{} connections; sent {} bytes in {} calls, received {} bytes in {} calls",
            self.connections, self.bytes.send, self.calls.send, self.bytes.recv, self.calls.recv
        )
    }
}

/// Command lines that were seen.
#[derive(Debug, Serialize)]
pub(crate) struct Commands {
    /// Begun, whether or not they were run.
    pub(crate) commands: u64,
    /// Bytes of their lines.
    pub(crate) command_bytes: u64,
}

impl Commands {
    fn line(&self) -> String {
        format!("{} commands of {} bytes", self.commands, self.command_bytes)
    }
}

/// Statements that were seen.
#[derive(Debug, Serialize)]
pub(crate) struct Queries {
    /// Begun, with or without an end.
    pub(crate) queries: u64,
    /// Bytes of their texts.
    pub(crate) query_bytes: u64,
}

impl Queries {
    fn line(&self) -> String {
        format!("{} queries of {} bytes", self.queries, self.query_bytes)
    }
}

/// Secrets that were seen; together with `duplicate`, `rejected`, `lost` and what an output that
/// ended did not take, the `written` ones are as many.
#[derive(Debug, Serialize)]
pub(crate) struct KeyReport {
    pub(crate) seen: u64,
    /// Lines in the key log.
    pub(crate) written: u64,
    /// Whose line was there already.
    pub(crate) duplicate: u64,
    /// That could not be read, or were none by their looks.
    pub(crate) rejected: u64,
    /// For which there was no room.
    pub(crate) lost: u64,
}

impl KeyReport {
    fn line(&self) -> String {
        let Self { seen, written, duplicate, .. } = self;
        format!("{seen} keys, {written} written, {duplicate} there already")
    }
}

/// Packets: what was seen is what was written and what was lost, if the output took all.
#[derive(Debug, Serialize)]
pub(crate) struct PacketReport {
    /// That passed the filters.
    pub(crate) seen: u64,
    /// Their bytes.
    pub(crate) seen_bytes: u64,
    /// That are in the file.
    pub(crate) written: u64,
    /// Lines of the key log that are in the file.
    pub(crate) keys_written: u64,
    /// Packets that were written although a key to them had not come in time.
    pub(crate) without_key: u64,
    /// For which there was no room.
    pub(crate) lost: u64,
    /// Connections that nobody can decrypt.
    pub(crate) undecryptable: Undecryptable,
}

impl PacketReport {
    fn line(&self) -> String {
        let Self { seen, seen_bytes, written, keys_written, undecryptable, .. } = self;
        let packets = format!(
            "{seen} packets of {seen_bytes} bytes, {written} written with {keys_written} keys"
        );
        undecryptable.line().map_or(packets.clone(), |line| format!("{packets}; {line}"))
    }
}

/// Connections whose packets are written, and that nobody can decrypt, by the reason.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Undecryptable {
    /// Whose handshake was before the capture.
    pub(crate) older: u64,
    /// Whose handshake was seen, and no key.
    pub(crate) without_key: u64,
}

impl Undecryptable {
    /// Nothing if there is none.
    pub(crate) fn line(&self) -> Option<String> {
        let Self { older, without_key } = self;
        let reasons = [
            (*older, "older than the capture, so that their keys were not seen"),
            (*without_key, "whose library told no key (ecapture inspect says why)"),
        ];
        let reasons: Vec<String> = reasons
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, reason)| format!("{count} {reason}"))
            .collect();
        (!reasons.is_empty())
            .then(|| format!("TLS connections that nobody can decrypt: {}", reasons.join(", ")))
    }
}

/// The end-of-run balance: what the module's parts saw, and what was lost.
#[derive(Debug, Serialize)]
pub(crate) struct Balance {
    #[serde(flatten)]
    plaintext: Option<Plaintext>,
    #[serde(flatten)]
    commands: Option<Commands>,
    #[serde(flatten)]
    queries: Option<Queries>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<KeyReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    packets: Option<PacketReport>,
    lost: Lost,
    /// Records that were written.
    records: u64,
    /// What `--eventaddr` named.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    destinations: Vec<DestinationReport>,
    libraries: Vec<LibraryReport>,
    cpu_seconds: f64,
    max_rss_kib: u64,
}

impl Balance {
    pub(crate) fn new(lost: &LossTable, records: u64, libraries: Vec<LibraryReport>) -> Self {
        let total = lost.total();
        let (cpu_seconds, max_rss_kib) = usage();
        Self {
            plaintext: None,
            commands: None,
            queries: None,
            keys: None,
            packets: None,
            lost: Lost {
                events: total.events,
                bytes: total.bytes,
                by: lost
                    .iter()
                    .map(|(place, loss)| (place, Place { events: loss.events, bytes: loss.bytes }))
                    .collect(),
            },
            records,
            destinations: Vec::new(),
            libraries,
            cpu_seconds,
            max_rss_kib,
        }
    }

    /// With what became of the records for each destination.
    pub(crate) fn with_destinations(mut self, destinations: Vec<DestinationReport>) -> Self {
        self.destinations = destinations;
        self
    }

    /// With what was seen of plaintext.
    pub(crate) fn with_plaintext(mut self, plaintext: Plaintext) -> Self {
        self.plaintext = Some(plaintext);
        self
    }

    /// With what was seen of command lines.
    pub(crate) fn with_commands(mut self, commands: Commands) -> Self {
        self.commands = Some(commands);
        self
    }

    /// With what was seen of statements.
    pub(crate) fn with_queries(mut self, queries: Queries) -> Self {
        self.queries = Some(queries);
        self
    }

    /// With what was seen of keys.
    pub(crate) fn with_keys(mut self, keys: KeyReport) -> Self {
        self.keys = Some(keys);
        self
    }

    /// With what was seen of packets.
    pub(crate) fn with_packets(mut self, packets: PacketReport) -> Self {
        self.packets = Some(packets);
        self
    }

    /// True if anything was lost.
    pub(crate) fn lost_anything(&self) -> bool {
        self.lost.events > 0 || self.lost.bytes > 0
    }

    /// One line for people.
    pub(crate) fn line(&self) -> String {
        let mut parts = Vec::new();
        parts.extend(self.plaintext.as_ref().map(Plaintext::line));
        parts.extend(self.commands.as_ref().map(Commands::line));
        parts.extend(self.queries.as_ref().map(Queries::line));
        parts.extend(self.keys.as_ref().map(KeyReport::line));
        parts.extend(self.packets.as_ref().map(PacketReport::line));
        parts.push(self.lost_line());
        parts.join("; ")
    }

    fn lost_line(&self) -> String {
        if !self.lost_anything() {
            return "lost nothing".to_owned();
        }
        let places: Vec<String> = self
            .lost
            .by
            .iter()
            .map(|(name, place)| format!("{name}: {}, {} bytes", place.events, place.bytes))
            .collect();
        let Lost { events, bytes, .. } = self.lost;
        format!("LOST {events} events, {bytes} bytes ({})", places.join("; "))
    }

    /// Writes it as JSON to `file`, which is at `path`.
    pub(crate) fn write(&self, path: &Path, mut file: File) -> anyhow::Result<()> {
        let what = || format!("--summary {}", path.display());
        let mut text = serde_json::to_string(self).with_context(what)?;
        text.push('\n');
        file.write_all(text.as_bytes()).with_context(what)
    }
}

/// Makes the file for the summary: before anything is captured, so that a wrong path shows at once.
pub(crate) fn open(path: &Path) -> anyhow::Result<File> {
    sink::create_private(path).context("--summary")
}

/// CPU time of this process in seconds, and its largest resident set in KiB.
fn usage() -> (f64, u64) {
    getrusage(UsageWho::RUSAGE_SELF).map_or((0.0, 0), |usage| {
        let seconds = |time: nix::sys::time::TimeVal| {
            time.tv_sec() as f64 + time.tv_usec() as f64 / 1_000_000.0
        };
        (
            seconds(usage.user_time()) + seconds(usage.system_time()),
            u64::try_from(usage.max_rss()).unwrap_or(0),
        )
    })
}
