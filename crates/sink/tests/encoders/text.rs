//! What people see, for records of every kind, in a file and on a terminal.

use crate::samples;
use sink::{Encoder as _, TextEncoder, TextOptions};
use std::fmt::Write as _;

const FILE: TextOptions = TextOptions { color: false, escape: false, hex: false, tsize: None };
const TERMINAL: TextOptions = TextOptions { color: true, escape: true, hex: false, tsize: None };

fn text(record: &event::Record<'_>, options: TextOptions) -> Vec<u8> {
    let mut out = Vec::new();
    TextEncoder::new(options).encode(record, &mut out);
    out
}

/// Shows what cannot be seen, and bytes that are no text, in angle brackets.
fn visible(bytes: &[u8]) -> String {
    let mut shown = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' => shown.push('\n'),
                c if is_unseen(c) => write!(shown, "<U+{:02X}>", u32::from(c)).unwrap(),
                c => shown.push(c),
            }
        }
        for byte in chunk.invalid() {
            write!(shown, "<{byte:02x}>").unwrap();
        }
    }
    shown
}

fn is_unseen(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
}

#[test]
fn every_kind_of_record_reads_well() {
    for (name, record) in samples::all() {
        let in_file = visible(&text(&record, FILE));
        let on_terminal = visible(&text(&record, TERMINAL));
        insta::assert_snapshot!(
            name,
            format!("--- in a file ---\n{in_file}--- on a terminal ---\n{on_terminal}")
        );
    }
}

#[test]
fn hex_shows_every_payload_as_a_dump() {
    let options = TextOptions { hex: true, ..FILE };
    let shown: String =
        samples::documented().iter().map(|(_, record)| visible(&text(record, options))).collect();
    insta::assert_snapshot!("hex", shown);
}

#[test]
fn tsize_cuts_payloads_and_says_so() {
    let options = TextOptions { tsize: Some(5), ..FILE };
    let shown: String =
        samples::documented().iter().map(|(_, record)| visible(&text(record, options))).collect();
    insta::assert_snapshot!("tsize", shown);
}

#[test]
fn the_header_line_begins_as_it_always_did() {
    for (name, record) in samples::all() {
        let text = text(&record, FILE);
        let line =
            String::from_utf8_lossy(text.split(|byte| *byte == b'\n').next().unwrap()).into_owned();
        let (time, rest) = line.split_once(' ').unwrap();
        assert_eq!(time, "2026-11-22T00:05:08.123456789Z", "{name}");
        let comm = &record.conn.comm;
        if comm.chars().all(char::is_alphanumeric) {
            assert!(rest.starts_with(&format!("PID:22567, Comm:{comm}, ")), "{name}: {rest}");
        }
    }
}

#[test]
fn a_captured_name_cannot_forge_a_header_line() {
    let records = samples::all();
    let (_, record) = records.iter().find(|(name, _)| *name == "data_hostile").unwrap();
    for options in [FILE, TERMINAL] {
        let text = text(record, options);
        let first_line = text.split(|byte| *byte == b'\n').next().unwrap();
        let first_line = String::from_utf8(first_line.to_vec()).unwrap();
        assert!(first_line.contains(r"Comm:x\n\x1b[2J\u{202e}, TID:"), "{first_line}");
        assert!(first_line.contains(", Len:"), "{first_line}");
    }
}

#[test]
fn nothing_that_drives_a_terminal_gets_there() {
    let options = TextOptions { color: false, ..TERMINAL };
    for (name, record) in samples::all() {
        let text = String::from_utf8(text(&record, options)).unwrap();
        let control = text.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t'));
        assert_eq!(control, None, "{name}: {text}");
    }
}

#[test]
fn a_file_gets_text_payloads_byte_for_byte() {
    let records = samples::all();
    let (_, record) = records.iter().find(|(name, _)| *name == "data_hostile").unwrap();
    let event::Content::Data(data) = &record.content else { panic!("not data") };
    let text = text(record, FILE);
    assert!(text.windows(data.bytes.len()).any(|window| window == data.bytes));
}
