//! The balance so far, for `/stats` and `/metrics`.

use super::super::balance::Balance;
use control::{Kind, Metric};
use serde_json::Value;
use std::time::Duration;

/// What `--summary` would write now.
pub(super) fn stats(balance: &Balance) -> Value {
    serde_json::to_value(balance).unwrap_or(Value::Null)
}

/// Where a metric's numbers are in [`stats`].
struct Row {
    name: &'static str,
    help: &'static str,
    kind: Kind,
    /// Labels of the samples, and where each one's number is.
    samples: &'static [(&'static [(&'static str, &'static str)], &'static str)],
}

#[rustfmt::skip]
static ROWS: &[Row] = &[
    Row { name: "ecapture_records_total", help: "Records that were written.", kind: Kind::Counter, samples: &[(&[], "/records")] },
    Row { name: "ecapture_connections_total", help: "Connections that were seen.", kind: Kind::Counter, samples: &[(&[], "/connections")] },
    Row { name: "ecapture_calls_total", help: "Library calls that moved plaintext.", kind: Kind::Counter, samples: &[(&[("direction", "send")], "/calls/send"), (&[("direction", "recv")], "/calls/recv")] },
    Row { name: "ecapture_plaintext_bytes_total", help: "Plaintext that was seen.", kind: Kind::Counter, samples: &[(&[("direction", "send")], "/bytes/send"), (&[("direction", "recv")], "/bytes/recv")] },
    Row { name: "ecapture_keys_total", help: "Keys by what became of them.", kind: Kind::Counter, samples: &[(&[("outcome", "written")], "/keys/written"), (&[("outcome", "duplicate")], "/keys/duplicate"), (&[("outcome", "rejected")], "/keys/rejected"), (&[("outcome", "lost")], "/keys/lost")] },
    Row { name: "ecapture_lost_events_total", help: "Events that were lost.", kind: Kind::Counter, samples: &[(&[], "/lost/events")] },
    Row { name: "ecapture_lost_bytes_total", help: "Plaintext that was lost.", kind: Kind::Counter, samples: &[(&[], "/lost/bytes")] },
    Row { name: "ecapture_cpu_seconds_total", help: "CPU time of ecapture itself.", kind: Kind::Counter, samples: &[(&[], "/cpu_seconds")] },
    Row { name: "ecapture_max_resident_kibibytes", help: "Largest resident set of ecapture itself.", kind: Kind::Gauge, samples: &[(&[], "/max_rss_kib")] },
];

/// The same as metrics, with what is not in the balance.
pub(super) fn metrics(
    balance: &Balance,
    attached: usize,
    (changes, refused): (u64, u64),
    uptime: Duration,
) -> Vec<Metric> {
    let stats = stats(balance);
    let mut metrics: Vec<Metric> = ROWS.iter().filter_map(|row| metric(row, &stats)).collect();
    if let Some(Value::Object(places)) = stats.pointer("/lost/by")
        && !places.is_empty()
    {
        let samples = places.iter().filter_map(|(place, loss)| {
            Some((vec![("place", place.clone())], loss.get("events")?.as_f64()?))
        });
        metrics.push(Metric {
            name: "ecapture_lost_events_by_place_total",
            help: "Events that were lost, by where.",
            kind: Kind::Counter,
            samples: samples.collect(),
        });
    }
    let (sent, dropped) = super::hub().map_or((0, 0), control::Hub::counts);
    let clients = super::hub().map_or(0, control::Hub::clients);
    for (name, help, kind, value) in [
        ("ecapture_attached_files", "Files with probes.", Kind::Gauge, attached as f64),
        ("ecapture_uptime_seconds", "Since the start.", Kind::Gauge, uptime.as_secs_f64()),
        (
            "ecapture_configuration_changes_total",
            "Configurations that were taken.",
            Kind::Counter,
            changes as f64,
        ),
        (
            "ecapture_configuration_refusals_total",
            "Configurations that were refused.",
            Kind::Counter,
            refused as f64,
        ),
        ("ecapture_stream_clients", "eCaptureQ clients.", Kind::Gauge, clients as f64),
        (
            "ecapture_stream_messages_total",
            "Messages for eCaptureQ clients.",
            Kind::Counter,
            sent as f64,
        ),
        (
            "ecapture_stream_dropped_total",
            "Messages that slow eCaptureQ clients did not get.",
            Kind::Counter,
            dropped as f64,
        ),
    ] {
        metrics.push(Metric::single(name, help, kind, value));
    }
    metrics
}

fn metric(row: &Row, stats: &Value) -> Option<Metric> {
    let samples: Vec<_> = row
        .samples
        .iter()
        .filter_map(|(labels, at)| {
            let labels = labels.iter().map(|(label, value)| (*label, (*value).to_owned()));
            Some((labels.collect(), stats.pointer(at)?.as_f64()?))
        })
        .collect();
    let Row { name, help, kind, .. } = row;
    (!samples.is_empty()).then_some(Metric { name, help, kind: *kind, samples })
}
