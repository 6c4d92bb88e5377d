//! Configurations as clients send them: the keys of version 1 and of version 2 of the interface, in any
//! mixture of capitals, and none besides.

use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What a configuration can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Setting {
    /// Only these processes; empty is all.
    Pid,
    /// Only this user; 0 is all.
    Uid,
    /// Only tasks in this cgroup; empty is all.
    Cgroup,
    /// Payloads in hexadecimal.
    Hex,
    /// Show so many bytes of a payload; 0 is all.
    Truncate,
    /// The file to probe; empty is what is found.
    File,
    /// What the library is.
    Version,
    /// `text`, `keylog`, `pcap`.
    Model,
    /// Where keys go.
    KeylogFile,
    /// Where packets go.
    PcapFile,
    /// The network interface.
    Interface,
    /// Which packets.
    PcapFilter,
    /// Bytes of buffer for each CPU.
    BufferSize,
    /// `-b`
    Btf,
    /// Log more.
    Debug,
    /// Only commands with this status.
    Status,
    /// The function to probe.
    Function,
    /// Where that is.
    Offset,
    /// libreadline
    Readline,
    /// Addresses of outputs and servers, given at the start.
    Address,
    /// What needs no setting here.
    Automatic,
}

/// How a value looks in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Number,
    /// A number or a list of numbers.
    Numbers,
    Text,
    /// A list of texts.
    Texts,
    Bool,
}

/// A value of a [`Setting`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setpoint {
    /// A number.
    Number(u64),
    /// Numbers.
    Numbers(Vec<u64>),
    /// A text.
    Text(String),
    /// Yes or no.
    Bool(bool),
}

impl Setpoint {
    /// Zero, empty or no: what clients in Go send for what they do not set.
    pub fn is_zero(&self) -> bool {
        match self {
            Self::Number(number) => *number == 0,
            Self::Numbers(numbers) => numbers.iter().all(|number| *number == 0),
            Self::Text(text) => text.is_empty(),
            Self::Bool(value) => !value,
        }
    }
}

/// What a client wants to be otherwise.
pub type Change = BTreeMap<Setting, (String, Setpoint)>;

type Key = (&'static str, Setting, Shape);

#[rustfmt::skip]
const BASE: &[Key] = &[
    ("pid", Setting::Pid, Shape::Numbers),
    ("uid", Setting::Uid, Shape::Number),
    ("listen", Setting::Address, Shape::Text),
    ("truncate_size", Setting::Truncate, Shape::Number),
    ("per_cpu_map_size", Setting::BufferSize, Shape::Number),
    ("is_hex", Setting::Hex, Shape::Bool),
    ("debug", Setting::Debug, Shape::Bool),
    ("btf_mode", Setting::Btf, Shape::Number),
    ("byte_code_file_mode", Setting::Automatic, Shape::Number),
    ("logger_addr", Setting::Address, Shape::Text),
    ("logger_type", Setting::Automatic, Shape::Number),
    ("addr_type", Setting::Automatic, Shape::Number),
    ("event_collector_addr", Setting::Address, Shape::Text),
    ("ecapture_q", Setting::Address, Shape::Text),
    ("cgroup_path", Setting::Cgroup, Shape::Text),
    ("cgrouppath", Setting::Cgroup, Shape::Text),
    ("perf_reorder", Setting::Automatic, Shape::Bool),
    ("perf_reorder_lag_ms", Setting::Automatic, Shape::Number),
];

#[rustfmt::skip]
const LIBRARY: &[Key] = &[
    ("model", Setting::Model, Shape::Text),
    ("capturemode", Setting::Model, Shape::Text),
    ("capture_mode", Setting::Model, Shape::Text),
    ("keylog", Setting::KeylogFile, Shape::Text),
    ("keylogfile", Setting::KeylogFile, Shape::Text),
    ("keylog_file", Setting::KeylogFile, Shape::Text),
    ("pcapfile", Setting::PcapFile, Shape::Text),
    ("pcap_file", Setting::PcapFile, Shape::Text),
    ("ifname", Setting::Interface, Shape::Text),
    ("pcapfilter", Setting::PcapFilter, Shape::Text),
    ("pcap_filter", Setting::PcapFilter, Shape::Text),
];

#[rustfmt::skip]
const OPENSSL: &[Key] = &[
    ("openssl", Setting::File, Shape::Text),
    ("opensslpath", Setting::File, Shape::Text),
    ("sslversion", Setting::Version, Shape::Text),
    ("isboringssl", Setting::Automatic, Shape::Bool),
    ("masterhookfuncs", Setting::Automatic, Shape::Texts),
    ("sslbpffile", Setting::Automatic, Shape::Text),
    ("is_android", Setting::Automatic, Shape::Bool),
    ("androidver", Setting::Automatic, Shape::Text),
];

#[rustfmt::skip]
const GOTLS: &[Key] = &[
    ("path", Setting::File, Shape::Text),
    ("elf_path", Setting::File, Shape::Text),
    ("go_version", Setting::Automatic, Shape::Text),
    ("is_register_abi", Setting::Automatic, Shape::Bool),
    ("is_pie_build_mode", Setting::Automatic, Shape::Bool),
];

#[rustfmt::skip]
const GNUTLS: &[Key] = &[
    ("gnutls", Setting::File, Shape::Text),
    ("gnutlspath", Setting::File, Shape::Text),
    ("sslversion", Setting::Version, Shape::Text),
    ("gnuversion", Setting::Version, Shape::Text),
];

#[rustfmt::skip]
const BASH: &[Key] = &[
    ("bashpath", Setting::File, Shape::Text),
    ("readline", Setting::Readline, Shape::Text),
    ("errno", Setting::Status, Shape::Number),
    ("elf_type", Setting::Automatic, Shape::Number),
    ("readline_func_name", Setting::Automatic, Shape::Text),
];

#[rustfmt::skip]
const ZSH: &[Key] = &[
    ("zshpath", Setting::File, Shape::Text),
    ("errno", Setting::Status, Shape::Number),
];

#[rustfmt::skip]
const MYSQLD: &[Key] = &[
    ("mysqldpath", Setting::File, Shape::Text),
    ("funcname", Setting::Function, Shape::Text),
    ("offset", Setting::Offset, Shape::Number),
];

#[rustfmt::skip]
const POSTGRES: &[Key] = &[
    ("postgrespath", Setting::File, Shape::Text),
    ("funcname", Setting::Function, Shape::Text),
    ("offset", Setting::Offset, Shape::Number),
];

#[rustfmt::skip]
const NSPR: &[Key] = &[
    ("nsprpath", Setting::File, Shape::Text),
    ("nspr_path", Setting::File, Shape::Text),
    ("nss_path", Setting::File, Shape::Text),
];

/// A module as this interface has always known it.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// The subcommand.
    pub(crate) module: &'static str,
    pub(crate) paths: &'static [&'static str],
    /// `module_type` in replies.
    pub(crate) module_type: &'static str,
    keys: &'static [&'static [Key]],
}

#[rustfmt::skip]
pub(crate) static ENDPOINTS: [Endpoint; 8] = [
    Endpoint { module: "tls", paths: &["/tls", "/openssl", "/boringssl"], module_type: "EBPFProbeOPENSSL", keys: &[BASE, LIBRARY, OPENSSL] },
    Endpoint { module: "gotls", paths: &["/gotls"], module_type: "EBPFProbeGoTLS", keys: &[BASE, LIBRARY, GOTLS] },
    Endpoint { module: "gnutls", paths: &["/gnutls"], module_type: "EBPFProbeGNUTLS", keys: &[BASE, LIBRARY, GNUTLS] },
    Endpoint { module: "nspr", paths: &["/nss", "/nspr"], module_type: "EBPFProbeNSPR", keys: &[BASE, LIBRARY, NSPR] },
    Endpoint { module: "bash", paths: &["/bash"], module_type: "EBPFProbeBash", keys: &[BASE, BASH] },
    Endpoint { module: "zsh", paths: &["/zsh"], module_type: "EBPFProbeZsh", keys: &[BASE, ZSH] },
    Endpoint { module: "mysqld", paths: &["/mysqld"], module_type: "EBPFProbeMysqld", keys: &[BASE, MYSQLD] },
    Endpoint { module: "postgres", paths: &["/postgress", "/postgres"], module_type: "EBPFProbePostgres", keys: &[BASE, POSTGRES] },
];

impl Endpoint {
    /// Reads a body. The error is for the client.
    pub(crate) fn read(&self, body: &[u8]) -> Result<Change, String> {
        let pairs: Map<String, Value> =
            serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let mut change = Change::new();
        for (name, value) in pairs {
            let lower = name.to_ascii_lowercase();
            let mut keys = self.keys.iter().copied().flatten();
            let Some((_, setting, shape)) = keys.find(|(key, _, _)| *key == lower) else {
                return Err(format!("unknown key {name:?} for {}", self.module));
            };
            if value.is_null() {
                continue;
            }
            let setpoint = shape
                .read(&value)
                .ok_or_else(|| format!("{name:?} must be {}, not {value}", shape.in_words()))?;
            // Of these nothing depends on the value.
            if *setting == Setting::Automatic {
                continue;
            }
            if let Setting::Address = setting
                && setpoint.is_zero()
            {
                continue;
            }
            if let Some((before, _)) = change.insert(*setting, (name.clone(), setpoint)) {
                return Err(format!("{name:?} and {before:?} are the same setting"));
            }
        }
        Ok(change)
    }
}

impl Shape {
    fn read(self, value: &Value) -> Option<Setpoint> {
        match self {
            Self::Number => value.as_u64().map(Setpoint::Number),
            Self::Numbers => match value {
                Value::Array(list) => {
                    let numbers = list.iter().map(Value::as_u64).collect::<Option<_>>()?;
                    Some(Setpoint::Numbers(numbers))
                }
                one => one.as_u64().map(|one| Setpoint::Numbers(vec![one])),
            },
            Self::Text => value.as_str().map(|text| Setpoint::Text(text.to_owned())),
            Self::Texts => {
                let texts: Option<Vec<_>> = value.as_array()?.iter().map(Value::as_str).collect();
                texts.map(|texts| Setpoint::Text(texts.join(",")))
            }
            Self::Bool => value.as_bool().map(Setpoint::Bool),
        }
    }

    fn in_words(self) -> &'static str {
        match self {
            Self::Number => "a whole number from 0 on",
            Self::Numbers => "a whole number from 0 on, or a list of them",
            Self::Text => "a string",
            Self::Texts => "a list of strings",
            Self::Bool => "true or false",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(module: &str, body: &str) -> Result<Vec<(Setting, Setpoint)>, String> {
        let endpoint = ENDPOINTS.iter().find(|endpoint| endpoint.module == module).unwrap();
        let change = endpoint.read(body.as_bytes())?;
        Ok(change.into_iter().map(|(setting, (_, setpoint))| (setting, setpoint)).collect())
    }

    #[test]
    fn both_versions_and_all_spellings_say_the_same() {
        let file = vec![(Setting::File, Setpoint::Text("/x".to_owned()))];
        for key in ["openssl", "opensslpath", "OpensslPath", "OPENSSL"] {
            assert_eq!(read("tls", &format!("{{\"{key}\":\"/x\"}}")).unwrap(), file, "{key}");
        }
        let status = vec![(Setting::Status, Setpoint::Number(1))];
        assert_eq!(read("bash", r#"{"ErrNo":1}"#).unwrap(), status);
        let function = vec![(Setting::Function, Setpoint::Text("f".to_owned()))];
        assert_eq!(read("mysqld", r#"{"FuncName":"f"}"#).unwrap(), function);
    }

    #[test]
    fn a_process_or_a_list_of_them() {
        let one = vec![(Setting::Pid, Setpoint::Numbers(vec![5]))];
        assert_eq!(read("tls", r#"{"pid":5}"#).unwrap(), one);
        let two = vec![(Setting::Pid, Setpoint::Numbers(vec![5, 6]))];
        assert_eq!(read("tls", r#"{"Pid":[5,6]}"#).unwrap(), two);
    }

    #[test]
    fn what_go_clients_send_for_what_they_do_not_set_changes_nothing() {
        let body =
            r#"{"listen":"","logger_addr":"","byte_code_file_mode":0,"masterhookfuncs":null}"#;
        assert_eq!(read("tls", body).unwrap(), []);
    }

    #[test]
    fn bad_bodies_are_refused() {
        for body in [
            "",
            "{",
            "null",
            "[]",
            "5",
            r#"{"pid":"5"}"#,
            r#"{"pid":-1}"#,
            r#"{"pid":1.5}"#,
            r#"{"pid":[1,"2"]}"#,
            r#"{"is_hex":1}"#,
            r#"{"keylogfil":"x"}"#,
            r#"{"bashpath":"x"}"#,
            r#"{"openssl":"a","opensslpath":"b"}"#,
            r#"{"pid":1} {"#,
            &"[".repeat(10_000),
        ] {
            assert!(read("tls", body).is_err(), "{body:.40}");
        }
    }
}
