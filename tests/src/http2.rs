//! Just enough of HTTP/2's framing (RFC 9113, section 4.1) to find the bodies in a byte stream.

use std::collections::BTreeMap;

/// What a client sends first (RFC 9113, section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;

/// The content of the DATA frames by stream. Fails if the bytes do not end with a whole frame.
pub fn bodies(bytes: &[u8]) -> BTreeMap<u32, Vec<u8>> {
    let mut rest = bytes.strip_prefix(PREFACE).unwrap_or(bytes);
    let mut bodies: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    while !rest.is_empty() {
        let (head, after) = rest.split_at_checked(9).expect("a whole frame head");
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let (payload, after) = after.split_at_checked(len).expect("a whole frame");
        if head[3] == DATA {
            assert_eq!(head[4] & 8, 0, "a padded DATA frame");
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            bodies.entry(stream).or_default().extend_from_slice(payload);
        }
        rest = after;
    }
    bodies
}
