//! One line of JSON under construction: fields appended one by one.

use super::string::{PIECE, escape, escape_for_terminal};
use crate::cut;
use data_encoding::BASE64;
use std::net::SocketAddr;

/// The two names of a field that holds bytes, with the punctuation around them.
#[derive(Clone, Copy)]
pub(super) struct Names {
    /// `,"name":"`
    pub(super) text: &'static str,
    /// `,"name_b64":"`
    pub(super) base64: &'static str,
}

/// `names!("data")`: the names of a field that holds bytes.
macro_rules! names {
    ($name:literal) => {
        $crate::json::line::Names {
            text: concat!(",\"", $name, "\":\""),
            base64: concat!(",\"", $name, "_b64\":\""),
        }
    };
}
pub(super) use names;

pub(super) struct Line<'a> {
    pub(super) out: &'a mut Vec<u8>,
    /// Escape what a terminal would act on.
    pub(super) terminal: bool,
    /// Show at most so many bytes of a payload.
    pub(super) limit: Option<usize>,
}

impl Line<'_> {
    /// Appends punctuation and names.
    pub(super) fn raw(&mut self, json: &str) {
        self.out.extend_from_slice(json.as_bytes());
    }

    /// Appends a number after `key`, which is punctuation and a name.
    pub(super) fn number(&mut self, key: &str, value: impl itoa::Integer) {
        self.raw(key);
        self.raw(itoa::Buffer::new().format(value));
    }

    /// Appends a truth value after `key`.
    pub(super) fn truth(&mut self, key: &str, value: bool) {
        self.raw(key);
        self.raw(if value { "true" } else { "false" });
    }

    /// Appends text after `key`, which ends with the opening quote.
    pub(super) fn text(&mut self, key: &str, text: &str) {
        self.raw(key);
        self.escaped(text);
        self.out.push(b'"');
    }

    /// Appends bytes that are text in all but hostile cases: as text, invalid UTF-8 replaced, and
    /// then the exact bytes in a second field.
    pub(super) fn lossy(&mut self, names: Names, bytes: &[u8]) {
        if let Ok(text) = std::str::from_utf8(bytes) {
            self.text(names.text, text);
        } else {
            self.text(names.text, &String::from_utf8_lossy(bytes));
            self.base64(names.base64, bytes);
        }
    }

    /// Appends a payload: as text if it is UTF-8, else as base64 instead. Returns true if it was
    /// cut to the limit.
    ///
    /// Piece by piece, so that each is in the CPU's cache when it is escaped.
    pub(super) fn payload(&mut self, names: Names, bytes: &[u8]) -> bool {
        let shown = cut(bytes, self.limit);
        let is_cut = shown.len() < bytes.len();
        let start = self.out.len();
        self.raw(names.text);
        let mut rest = shown;
        while !rest.is_empty() {
            let piece = &rest[..rest.len().min(PIECE)];
            let is_last = piece.len() == rest.len();
            let text = match std::str::from_utf8(piece) {
                Ok(text) => text,
                // A piece, or the cut, went through a character.
                Err(error) if error.error_len().is_none() && (is_cut || !is_last) => {
                    let whole = &piece[..error.valid_up_to()];
                    if is_last {
                        rest = whole;
                    }
                    std::str::from_utf8(whole).unwrap_or_default()
                }
                Err(_) => {
                    self.out.truncate(start);
                    self.base64(names.base64, shown);
                    return is_cut;
                }
            };
            self.escaped(text);
            rest = &rest[text.len()..];
        }
        self.out.push(b'"');
        is_cut
    }

    fn escaped(&mut self, text: &str) {
        if self.terminal {
            escape_for_terminal(text, self.out);
        } else {
            escape(text, self.out);
        }
    }

    fn base64(&mut self, key: &str, bytes: &[u8]) {
        self.raw(key);
        let start = self.out.len();
        self.out.resize(start + BASE64.encode_len(bytes.len()), 0);
        BASE64.encode_mut(bytes, &mut self.out[start..]);
        self.out.push(b'"');
    }

    /// Appends an address, or null, after `key`.
    pub(super) fn address(&mut self, key: &str, address: Option<SocketAddr>) {
        self.raw(key);
        let Some(address) = address else { return self.raw("null") };
        self.raw("{\"ip\":\"");
        match address {
            SocketAddr::V4(v4) => {
                let [a, b, c, d] = v4.ip().octets();
                self.number("", a);
                self.number(".", b);
                self.number(".", c);
                self.number(".", d);
            }
            SocketAddr::V6(v6) => self.raw(&v6.ip().to_string()),
        }
        self.number("\",\"port\":", address.port());
        self.out.push(b'}');
    }
}
