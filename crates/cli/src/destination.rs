//! Where events and the tool's own log go: `--eventaddr` and `--logaddr`.
//!
//! `events.json`, `tcp://HOST:PORT`, `tls://HOST:PORT`, `ws://HOST:PORT/PATH`, `wss://…`, `unix:PATH`, each
//! with options behind a question mark: `tls://collector:6514?format=json&ca=/etc/ca.pem`.

use crate::config::Format;
use crate::values::host_and_port;
use clap::ValueEnum as _;
use std::ffi::OsStr;
use std::num::NonZeroU64;
use std::path::PathBuf;

/// One destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// As the user gave it, without the options.
    pub name: String,
    /// Where it is.
    pub place: DestinationPlace,
    /// How records are written there; `None` is as `--format` says.
    pub format: Option<Format>,
    /// Hold at most so many bytes in memory while it takes none; `None` is the default.
    pub queue: Option<NonZeroU64>,
    /// What does not fit into memory goes to this file.
    pub spill: Option<Spill>,
}

/// Where a destination is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DestinationPlace {
    /// A file, a FIFO or a device.
    File(PathBuf),
    /// A TCP connection.
    Tcp(HostPort),
    /// A TCP connection with TLS.
    Tls(HostPort, Trust),
    /// A WebSocket: where to connect to, and its URL.
    WebSocket(HostPort, String),
    /// The same with TLS.
    SecureWebSocket(HostPort, String, Trust),
    /// A stream socket in the file system.
    Unix(PathBuf),
}

impl DestinationPlace {
    /// Whether it is a file.
    pub fn is_file(&self) -> bool {
        matches!(self, Self::File(_))
    }
}

/// The other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// A name or an address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// Whose certificates are believed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trust {
    /// Everybody's.
    pub insecure: bool,
    /// Those of the authorities in this PEM file, instead of the system's.
    pub ca: Option<PathBuf>,
}

/// A file for what a slow destination has not taken yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spill {
    /// The file.
    pub path: PathBuf,
    /// It never holds more than so many bytes.
    pub max: NonZeroU64,
}

/// Of a spill file, unless the user says otherwise.
const SPILL_MAX: u64 = 1 << 30;
const FORMS: &str =
    "a file, tcp://HOST:PORT, tls://HOST:PORT, ws://HOST:PORT/PATH, wss://… or unix:PATH is needed";
/// What can stand behind the question mark.
const OPTIONS: [&str; 6] = ["format", "queue", "spill", "spill_max", "insecure", "ca"];

/// Reads a destination; `None` if the value is empty, which was the default of the old flags and so stands
/// in scripts.
pub(crate) fn destination(value: &OsStr) -> Result<Option<Destination>, String> {
    if value.is_empty() {
        return Ok(None);
    }
    let Some(text) = value.to_str() else {
        let name = value.to_string_lossy().into_owned();
        return Ok(Some(plain(name, DestinationPlace::File(value.into()))));
    };
    let (address, mut options) = Options::split(text)?;
    let network = |scheme: &str| address.strip_prefix(scheme).map(authority);
    let place = if let Some(path) = address.strip_prefix("unix:") {
        if path.is_empty() {
            return Err("unix: is followed by the path of a socket".to_owned());
        }
        DestinationPlace::Unix(path.into())
    } else if let Some(host) = network("tcp://") {
        DestinationPlace::Tcp(host?)
    } else if let Some(host) = network("tls://") {
        DestinationPlace::Tls(host?, options.trust())
    } else if let Some(host) = network("ws://") {
        DestinationPlace::WebSocket(host?, address.clone())
    } else if let Some(host) = network("wss://") {
        DestinationPlace::SecureWebSocket(host?, address.clone(), options.trust())
    } else if address.contains("://") {
        return Err(FORMS.to_owned());
    } else {
        DestinationPlace::File(PathBuf::from(&address))
    };
    options.refuse_unused(&place)?;
    let Options { format, queue, spill, spill_max, .. } = options;
    let max = spill_max.or(NonZeroU64::new(SPILL_MAX)).unwrap_or(NonZeroU64::MIN);
    let spill = spill.map(|path| Spill { path, max });
    // A URL may carry a password or a token behind its question mark.
    let name = address.split_once('?').map_or(&*address, |(name, _)| name).to_owned();
    Ok(Some(Destination { name, place, format, queue, spill }))
}

fn plain(name: String, place: DestinationPlace) -> Destination {
    Destination { name, place, format: None, queue: None, spill: None }
}

/// The host and port of what follows a scheme.
fn authority(rest: &str) -> Result<HostPort, String> {
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    host_and_port(&rest[..end]).map(|(host, port)| HostPort { host: host.to_owned(), port })
}

#[derive(Default)]
struct Options {
    format: Option<Format>,
    queue: Option<NonZeroU64>,
    spill: Option<PathBuf>,
    spill_max: Option<NonZeroU64>,
    insecure: bool,
    ca: Option<PathBuf>,
}

impl Options {
    /// Takes our options off an address. Of a WebSocket's URL, others stay where they are; a file's name may
    /// hold a question mark.
    fn split(text: &str) -> Result<(String, Self), String> {
        let mut options = Self::default();
        let Some((address, query)) = text.rsplit_once('?') else {
            return Ok((text.to_owned(), options));
        };
        let name = |option: &str| option.split('=').next().unwrap_or_default().to_owned();
        let ours = |option: &&str| OPTIONS.contains(&&*name(option));
        if !query.split('&').any(|option| ours(&option)) && !address.contains("://") {
            return Ok((text.to_owned(), options));
        }
        let is_url = address.starts_with("ws://") || address.starts_with("wss://");
        let mut others = Vec::new();
        for option in query.split('&') {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            match name {
                "format" => {
                    options.format = Some(Format::from_str(value, false).map_err(|_| {
                        format!("format={value}: text, json or protobuf is needed")
                    })?);
                }
                "queue" => options.queue = Some(size(option, value)?),
                "spill" if !value.is_empty() => options.spill = Some(PathBuf::from(value)),
                "spill_max" => options.spill_max = Some(size(option, value)?),
                "insecure" if matches!(value, "" | "1" | "true") => options.insecure = true,
                "ca" if !value.is_empty() => options.ca = Some(PathBuf::from(value)),
                _ if is_url && !OPTIONS.contains(&name) => others.push(option),
                _ => {
                    return Err(format!(
                        "'{option}' is no option of a destination: {}",
                        OPTIONS.join(", ")
                    ));
                }
            }
        }
        if options.spill_max.is_some() && options.spill.is_none() {
            return Err("spill_max goes with spill=FILE".to_owned());
        }
        let mut address = address.to_owned();
        if !others.is_empty() {
            address = format!("{address}?{}", others.join("&"));
        }
        Ok((address, options))
    }

    fn trust(&mut self) -> Trust {
        Trust { insecure: std::mem::take(&mut self.insecure), ca: self.ca.take() }
    }

    fn refuse_unused(&self, place: &DestinationPlace) -> Result<(), String> {
        if self.insecure || self.ca.is_some() {
            return Err("insecure and ca go with tls:// and wss://".to_owned());
        }
        if place.is_file() && (self.queue.is_some() || self.spill.is_some()) {
            return Err("queue and spill go with network destinations".to_owned());
        }
        Ok(())
    }
}

const UNITS: [(&str, u64); 4] = [("K", 1 << 10), ("M", 1 << 20), ("G", 1 << 30), ("T", 1 << 40)];

/// A size such as `65536`, `64M` or `2G`.
fn size(option: &str, value: &str) -> Result<NonZeroU64, String> {
    let (digits, unit) = UNITS
        .iter()
        .find_map(|(letter, unit)| Some((value.strip_suffix(letter)?, *unit)))
        .unwrap_or((value, 1));
    let bytes = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    bytes
        .and_then(NonZeroU64::new)
        .ok_or_else(|| format!("{option}: a size is needed: bytes, or with K, M, G or T"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Destination, String> {
        destination(OsStr::new(text)).map(Option::unwrap)
    }

    #[test]
    fn every_kind_of_place_is_known_by_its_scheme() {
        let host = |host: &str, port| HostPort { host: host.to_owned(), port };
        let trust = Trust::default;
        let cases = [
            ("a/b.log", DestinationPlace::File("a/b.log".into())),
            ("what?.log", DestinationPlace::File("what?.log".into())),
            ("tcp://h:1", DestinationPlace::Tcp(host("h", 1))),
            ("tcp://[::1]:1", DestinationPlace::Tcp(host("::1", 1))),
            ("tls://h:1", DestinationPlace::Tls(host("h", 1), trust())),
            ("ws://h:1/p", DestinationPlace::WebSocket(host("h", 1), "ws://h:1/p".into())),
            (
                "wss://h:1/p?t=5&format=json",
                DestinationPlace::SecureWebSocket(host("h", 1), "wss://h:1/p?t=5".into(), trust()),
            ),
            ("unix:/run/a", DestinationPlace::Unix("/run/a".into())),
        ];
        for (text, place) in cases {
            assert_eq!(read(text).unwrap().place, place, "{text}");
        }
        assert_eq!(destination(OsStr::new("")).unwrap(), None);
    }

    #[test]
    fn options_are_read_and_the_name_has_none() {
        let read = read("tls://h:1?format=json&ca=/c.pem&insecure&queue=2M&spill=/s&spill_max=5G");
        let destination = read.unwrap();
        assert_eq!(destination.name, "tls://h:1");
        assert_eq!(destination.format, Some(Format::Json));
        assert_eq!(destination.queue.unwrap().get(), 2 << 20);
        let spill = destination.spill.unwrap();
        assert_eq!((spill.path, spill.max.get()), ("/s".into(), 5 << 30));
        let DestinationPlace::Tls(_, trust) = destination.place else { panic!("TLS") };
        assert_eq!(trust, Trust { insecure: true, ca: Some("/c.pem".into()) });
    }

    #[test]
    fn a_wrong_option_is_named() {
        for (text, says) in [
            ("tcp://h:1?format=xml", "format=xml"),
            ("tcp://h:1?frmat=json", "frmat=json"),
            ("tcp://h:1?insecure", "tls://"),
            ("tcp://h:1?queue=0", "queue=0"),
            ("tcp://h:1?queue=5X", "queue=5X"),
            ("tcp://h:1?spill_max=5", "spill=FILE"),
            ("a.log?format=json&queue=5", "network"),
            ("unix:", "path"),
            ("ftp://h:1", "tcp://HOST:PORT"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
