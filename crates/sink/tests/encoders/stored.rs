//! What was written can be read back, and whatever else is read does no harm.

use crate::{commands, queries, samples};
use proptest::collection::vec;
use proptest::prelude::*;
use sink::{
    Encoder, Form, JsonEncoder, JsonOptions, ProtobufEncoder, ProtobufOptions, Recorded, Stored,
    StoredStats,
};
use std::io::Cursor;

fn json() -> JsonEncoder {
    JsonEncoder::new(JsonOptions::default())
}

fn protobuf() -> ProtobufEncoder {
    ProtobufEncoder::new(ProtobufOptions::default())
}

fn written(mut encoder: impl Encoder) -> Vec<u8> {
    let mut out = Vec::new();
    for (_, record) in samples::all() {
        encoder.encode(&record, &mut out);
    }
    for command in commands::all() {
        encoder.command(&command, &mut out);
    }
    for query in queries::all() {
        encoder.query(&query, &mut out);
    }
    out
}

/// Reads to the end, or to where there is no use in reading on.
fn read(bytes: &[u8], form: Option<Form>) -> (Vec<u8>, StoredStats) {
    let mut stored = Stored::open(Cursor::new(bytes.to_vec()), form).unwrap();
    let (mut encoder, mut out) = (json(), Vec::new());
    while let Ok(true) = stored.next(|recorded| match recorded {
        Recorded::Record(record) => encoder.encode(record, &mut out),
        Recorded::Command(command) => encoder.command(command, &mut out),
        Recorded::Query(query) => encoder.query(query, &mut out),
    }) {}
    (out, stored.stats())
}

#[test]
fn every_record_comes_back_from_both_forms() {
    let lines = written(json());
    for bytes in [lines.clone(), written(protobuf())] {
        let (back, stats) = read(&bytes, None);
        assert_eq!(String::from_utf8(back), String::from_utf8(lines.clone()));
        assert_eq!((stats.skipped, stats.cut_short), (0, false));
    }
}

#[test]
fn a_compressed_file_is_read_as_it_is() {
    let lines = written(json());
    let packed = zstd::encode_all(&*lines, 3).unwrap();
    assert!(read(&packed, None).0 == lines);
}

#[test]
fn a_file_that_is_cut_off_gives_all_but_the_last() {
    for (bytes, form) in [(written(json()), Form::Json), (written(protobuf()), Form::Protobuf)] {
        let all = read(&bytes, Some(form)).1.events;
        let (_, stats) = read(&bytes[..bytes.len() - 3], Some(form));
        assert_eq!((stats.events, stats.cut_short), (all - 1, true));
    }
}

#[test]
fn a_length_that_is_a_lie_takes_no_memory() {
    // 200 MiB are announced, and 3 bytes follow.
    let (_, stats) = read(b"\x80\x80\x80\x64abc", Some(Form::Protobuf));
    assert_eq!((stats.events, stats.cut_short), (0, true));
}

proptest! {
    #[test]
    fn anything_can_be_read(bytes in vec(any::<u8>(), 0..2000)) {
        for form in [None, Some(Form::Json), Some(Form::Protobuf)] {
            if let Ok(mut stored) = Stored::open(Cursor::new(bytes.clone()), form) {
                while let Ok(true) = stored.next(|_| {}) {}
            }
        }
    }

    #[test]
    fn a_damaged_file_can_be_read(flips in vec((any::<prop::sample::Index>(), any::<u8>()), 1..20)) {
        for (mut bytes, form) in [(written(json()), Form::Json), (written(protobuf()), Form::Protobuf)] {
            for (at, byte) in &flips {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            read(&bytes, Some(form));
        }
    }
}
