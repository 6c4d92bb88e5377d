//! Claims about decoding header blocks.

use super::{Decoder, FieldList};

const CAP: usize = 64 << 10;

fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<(String, String)>, &'static str> {
    let mut fields = FieldList::default();
    decoder.decode(block, CAP, &mut fields)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(fields.iter().map(|(name, value)| (text(name), text(value))).collect())
}

fn owned(fields: &[(&str, &str)]) -> Vec<(String, String)> {
    fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

const FIRST: &[(&str, &str)] =
    &[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com")];

#[test]
fn the_rfcs_request_examples_decode() {
    // RFC 7541 appendix C.3 (literal) and C.4 (Huffman).
    for blocks in [
        [
            "828684410f7777772e6578616d706c652e636f6d",
            "828684be58086e6f2d6361636865",
            "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
        ],
        [
            "828684418cf1e3c2e5f23a6ba0ab90f4ff",
            "828684be5886a8eb10649cbf",
            "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
        ],
    ] {
        let mut decoder = Decoder::new(true, CAP);
        assert_eq!(decode(&mut decoder, &hex(blocks[0])), Ok(owned(FIRST)));
        let mut second = FIRST.to_vec();
        second.push(("cache-control", "no-cache"));
        assert_eq!(decode(&mut decoder, &hex(blocks[1])), Ok(owned(&second)));
        let third = decode(&mut decoder, &hex(blocks[2])).unwrap();
        assert_eq!(third[3..], owned(&[FIRST[3], ("custom-key", "custom-value")]));
    }
}

#[test]
fn the_rfcs_response_examples_evict() {
    // RFC 7541 appendix C.6, with a table of 256 bytes.
    let mut decoder = Decoder::new(true, CAP);
    decode(&mut decoder, &hex("3fe101")).unwrap();
    for (block, status) in [
        (
            "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad1718\
             63c78f0b97c8e9ae82ae43d3",
            "302",
        ),
        ("4883640effc1c0bf", "307"),
    ] {
        let fields = decode(&mut decoder, &hex(block)).unwrap();
        assert_eq!(fields[0], (":status".to_owned(), status.to_owned()));
        assert_eq!(fields[3], ("location".to_owned(), "https://www.example.com".to_owned()));
    }
    assert!(decoder.held() <= 256);
}

#[test]
fn a_reference_to_nothing_is_an_error_only_if_everything_was_seen() {
    let mut whole = Decoder::new(true, CAP);
    assert!(decode(&mut whole, &[0xbe]).is_err());
    let mut late = Decoder::new(false, CAP);
    let block = hex("82 be 7f 05 01 76 40 01 61 01 62 be bf");
    let fields = decode(&mut late, &block).unwrap();
    let expected =
        owned(&[(":method", "GET"), ("?", "?"), ("?", "v"), ("a", "b"), ("a", "b"), ("?", "v")]);
    assert_eq!(fields, expected);
    assert!(decode(&mut late, &[0x80]).is_err(), "index 0 is never right");
}

#[test]
fn after_a_loss_known_entries_are_forgotten_and_new_ones_count() {
    let mut decoder = Decoder::new(true, CAP);
    decode(&mut decoder, &hex("400161 0162")).unwrap();
    decoder.lose();
    let fields = decode(&mut decoder, &[&[0xbe], hex("400163 0164").as_slice(), &[0xbe]].concat());
    assert_eq!(fields, Ok(owned(&[("?", "?"), ("c", "d"), ("c", "d")])));
}

#[test]
fn hostile_integers_and_strings_are_refused() {
    for block in [
        [0xff, 0xff, 0xff, 0xff, 0xff, 0xff].as_slice(),
        &[0xff, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
        &[0xff],
        &[0x40, 0x7f, 0xff, 0xff, 0xff, 0x7f],
        &[0x40, 0x05, b'a'],
        &[0x40, 0x81, 0x00, 0x00],
        &[0x40],
    ] {
        assert!(decode(&mut Decoder::new(true, CAP), block).is_err(), "{block:?}");
        assert!(decode(&mut Decoder::new(false, CAP), block).is_err(), "{block:?}");
    }
}

#[test]
fn a_block_that_repeats_a_large_entry_is_bounded() {
    let mut block = vec![0x40, 1, b'n', 0x7f, 0x80, 0x10];
    let value_len = 0x7f + 0x800;
    block.extend(std::iter::repeat_n(b'v', value_len));
    block.extend(std::iter::repeat_n(0xbe, 100_000));
    let mut decoder = Decoder::new(true, CAP);
    let mut fields = FieldList::default();
    decoder.decode(&block, CAP, &mut fields).unwrap();
    assert!(fields.bytes.len() <= CAP + 100);
    assert_eq!(fields.iter().last(), Some(super::TOO_MANY));
    assert_eq!(decode(&mut decoder, &[0xbe]).unwrap()[0].0, "n", "the table is still right");
}

#[test]
fn the_table_is_bounded_whatever_size_is_asked_for() {
    let mut decoder = Decoder::new(true, 1000);
    decode(&mut decoder, &[0x3f, 0xff, 0xff, 0xff, 0x07]).unwrap();
    for n in 0..200_u8 {
        decode(&mut decoder, &[0x40, 1, n, 1, n]).unwrap();
    }
    assert!(decoder.held() <= 1000);
}
