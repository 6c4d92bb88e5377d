//! Claims about removing content codings.

use super::{Codings, Decoder, Expansion};
use std::io::Write;

const FREE: Expansion = Expansion { free: 1 << 20, ratio: 1000 };

fn text() -> Vec<u8> {
    (0..5000_u32).flat_map(|n| format!("line {} of it\n", n * n % 977).into_bytes()).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn raw_deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn brotli(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 4, 20);
    encoder.write_all(bytes).unwrap();
    encoder.into_inner()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(bytes, 1).unwrap()
}

fn codings(names: &str) -> Codings {
    let mut codings = Codings::default();
    codings.add(names.as_bytes());
    codings
}

fn decode(names: &str, coded: &[u8], piece: usize) -> Result<Vec<u8>, &'static str> {
    let mut decoder = Decoder::new(&codings(names), FREE)?;
    let mut text = Vec::new();
    for piece in coded.chunks(piece) {
        decoder
            .decode(piece, &mut |bytes| {
                text.extend_from_slice(bytes);
                true
            })
            .map_err(|failure| failure.why)?;
    }
    decoder.finish().map(|()| text)
}

/// Codings by name, each with its way to make them.
fn table() -> Vec<(&'static str, Vec<u8>)> {
    let text = text();
    vec![
        ("gzip", gzip(&text)),
        ("X-GZIP", gzip(&text)),
        ("deflate", zlib(&text)),
        ("deflate", raw_deflate(&text)),
        ("br", brotli(&text)),
        ("zstd", zstd(&text)),
        ("deflate, identity, gzip", gzip(&zlib(&text))),
        ("br, gzip, zstd", zstd(&gzip(&brotli(&text)))),
        ("gzip", [gzip(&text[..1000]), gzip(&text[1000..])].concat()),
        ("zstd", [zstd(&text[..1000]), zstd(&text[1000..])].concat()),
    ]
}

#[test]
fn each_coding_is_removed_however_it_comes() {
    for (names, coded) in table() {
        for piece in [1, 2, 3, 100, 1 << 20] {
            let decoded = decode(names, &coded, piece);
            assert!(decoded == Ok(text()), "{names} in pieces of {piece}");
        }
    }
}

#[test]
fn every_coding_notices_that_its_data_end_early() {
    for (names, coded) in table() {
        let cut = &coded[..coded.len() - 1];
        assert_eq!(decode(names, cut, 100), Err("the coded data end early"), "{names}");
    }
}

#[test]
fn damaged_data_are_refused() {
    for (names, mut coded) in table() {
        let middle = coded.len() / 2;
        coded[..20].fill(0xff);
        coded[middle..].iter_mut().for_each(|byte| *byte ^= 0x55);
        assert!(decode(names, &coded, 100).is_err(), "{names}");
    }
}

#[test]
fn unknown_codings_and_tall_stacks_are_refused() {
    assert_eq!(decode("gzip, compress", b"", 1), Err("unknown content coding"));
    assert_eq!(decode("br, br, br, br, br", b"", 1), Err("too many content codings"));
}

#[test]
fn no_body_needs_no_coding() {
    assert_eq!(decode("gzip", b"", 1), Ok(Vec::new()));
}

#[test]
fn a_bomb_goes_off_in_small_pieces_and_not_for_long() {
    let zeros = vec![0; 64 << 20];
    for (names, coded) in [
        ("br", brotli(&zeros)),
        ("zstd", zstd(&zeros)),
        ("gzip, br", brotli(&gzip(&zeros))),
        ("gzip, gzip", gzip(&gzip(&zeros))),
    ] {
        let mut decoder = Decoder::new(&codings(names), FREE).unwrap();
        let (mut produced, mut largest) = (0, 0);
        let result = decoder.decode(&coded, &mut |bytes| {
            produced += bytes.len();
            largest = largest.max(bytes.len());
            true
        });
        assert_eq!(result.unwrap_err().why, "the body expands too much", "{names}");
        assert!(largest <= super::PIECE);
        assert!(produced as u64 <= FREE.free.max(FREE.ratio * coded.len() as u64));
    }
}

#[test]
fn decoding_stops_when_told_to() {
    let mut decoder = Decoder::new(&codings("gzip"), FREE).unwrap();
    let mut calls = 0;
    decoder
        .decode(&gzip(&text()), &mut |_| {
            calls += 1;
            false
        })
        .unwrap();
    assert_eq!(calls, 1);
}
