//! One line of `--format json`.

use serde::Deserialize;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// Which way, from the traced program's view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// The program wrote it.
    Send,
    /// The program read it.
    Recv,
}

/// One end of a connection.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Address {
    /// As text.
    pub ip: std::net::IpAddr,
    /// TCP port.
    pub port: u16,
}

/// A header field.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Field {
    /// As sent.
    pub name: String,
    /// As sent.
    pub value: String,
}

/// What a line says; which fields there are depends on `kind`.
#[derive(Debug, Clone, Deserialize)]
#[allow(missing_docs)]
pub struct Line {
    pub ts: String,
    pub kind: String,
    pub pid: u32,
    pub tid: u32,
    pub uid: u32,
    pub comm: String,
    pub exe: Option<String>,
    pub conn: u64,
    pub dir: Direction,
    pub local: Option<Address>,
    pub remote: Option<Address>,
    pub lib: String,
    pub len: Option<u64>,
    pub offset: Option<u64>,
    pub data: Option<String>,
    pub data_b64: Option<String>,
    pub body: Option<String>,
    pub body_b64: Option<String>,
    pub method: Option<String>,
    pub path: Option<String>,
    pub status: Option<u16>,
    pub headers: Option<Vec<Field>>,
    pub exchange: Option<u64>,
    pub stream: Option<u32>,
    pub latency_ns: Option<u64>,
    pub complete: Option<bool>,
    pub body_follows: Option<bool>,
    pub of: Option<String>,
    pub last: Option<bool>,
    pub cause: Option<String>,
}

impl Line {
    /// The bytes of `data` or `data_b64`.
    pub fn data(&self) -> Option<Vec<u8>> {
        decode(self.data.as_ref(), self.data_b64.as_ref())
    }

    /// The bytes of `body` or `body_b64`.
    pub fn body(&self) -> Option<Vec<u8>> {
        decode(self.body.as_ref(), self.body_b64.as_ref())
    }

    /// The value of a header field.
    pub fn header(&self, name: &str) -> Option<&str> {
        let fields = self.headers.as_ref()?;
        let field = fields.iter().find(|field| field.name.eq_ignore_ascii_case(name))?;
        Some(&field.value)
    }
}

fn decode(text: Option<&String>, base64: Option<&String>) -> Option<Vec<u8>> {
    match (text, base64) {
        (Some(_), Some(_)) => panic!("a line has both the text and the Base64 form"),
        (Some(text), None) => Some(text.clone().into_bytes()),
        (None, Some(base64)) => {
            Some(data_encoding::BASE64.decode(base64.as_bytes()).expect("valid Base64"))
        }
        (None, None) => None,
    }
}

/// Reads every line of a file; each must be a whole object and end with a line end.
pub fn read(path: &Path) -> Vec<Line> {
    let mut file = BufReader::new(File::open(path).unwrap());
    let mut lines = Vec::new();
    let mut text = String::new();
    while file.read_line(&mut text).unwrap() > 0 {
        assert!(text.ends_with('\n'), "{}: the last line is cut: {text}", path.display());
        lines.push(serde_json::from_str(&text).unwrap_or_else(|error| {
            panic!("{}: {error} in {}", path.display(), &text[..text.len().min(400)])
        }));
        text.clear();
    }
    lines
}
