//! WebSocket frame headers (RFC 6455 section 5.2).

use event::WebSocketMessageKind;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opcode {
    Continuation,
    /// Begins a message.
    Data(WebSocketMessageKind),
    Control(WebSocketMessageKind),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Of the header itself.
    pub(super) len: usize,
    pub(super) opcode: Opcode,
    pub(super) fin: bool,
    /// RSV1, which `permessage-deflate` uses.
    pub(super) compressed: bool,
    pub(super) mask: Option<[u8; 4]>,
    pub(super) payload: u64,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    Header(Header),
    NeedMore,
    Malformed(&'static str),
}

pub(super) fn parse(bytes: &[u8]) -> Parsed {
    use WebSocketMessageKind::{Binary, Close, Ping, Pong, Text};
    let [first, second, ..] = *bytes else { return Parsed::NeedMore };
    let opcode = match first & 0x0f {
        0 => Opcode::Continuation,
        1 => Opcode::Data(Text),
        2 => Opcode::Data(Binary),
        8 => Opcode::Control(Close),
        9 => Opcode::Control(Ping),
        10 => Opcode::Control(Pong),
        _ => return Parsed::Malformed("a WebSocket frame has a reserved opcode"),
    };
    let fin = first & 0x80 != 0;
    if first & 0x30 != 0 {
        return Parsed::Malformed("a WebSocket frame has reserved bits set");
    }
    let mut rest = &bytes[2..];
    let payload = match second & 0x7f {
        126 => {
            let Some((len, after)) = rest.split_first_chunk() else { return Parsed::NeedMore };
            rest = after;
            u64::from(u16::from_be_bytes(*len))
        }
        127 => {
            let Some((len, after)) = rest.split_first_chunk() else { return Parsed::NeedMore };
            rest = after;
            u64::from_be_bytes(*len)
        }
        len => u64::from(len),
    };
    if payload > i64::MAX as u64 {
        return Parsed::Malformed("a WebSocket frame's length is malformed");
    }
    if matches!(opcode, Opcode::Control(_)) && (payload > 125 || !fin) {
        return Parsed::Malformed("a WebSocket control frame is too large or fragmented");
    }
    let mut mask = None;
    if second & 0x80 != 0 {
        let Some((key, after)) = rest.split_first_chunk() else { return Parsed::NeedMore };
        rest = after;
        mask = Some(*key);
    }
    let compressed = first & 0x40 != 0;
    let len = bytes.len() - rest.len();
    Parsed::Header(Header { len, opcode, fin, compressed, mask, payload })
}

/// True if `bytes`, from the beginning of a library call, are very likely whole frames of a client
/// (which are masked) or of a server (which are not).
pub(super) fn is_likely_run(bytes: &[u8], of_client: bool) -> bool {
    let mut rest = bytes;
    while !rest.is_empty() {
        let Parsed::Header(header) = parse(rest) else { return false };
        let total =
            usize::try_from(header.payload).ok().and_then(|len| len.checked_add(header.len));
        let after = total.and_then(|total| rest.get(total..));
        let Some(after) = after.filter(|_| header.mask.is_some() == of_client) else {
            return false;
        };
        rest = after;
    }
    !bytes.is_empty()
}

/// Removes the mask from bytes of which the first is at `position` in the payload.
pub(super) fn unmask(bytes: &mut [u8], mask: [u8; 4], position: u64) {
    let at = (position % 4) as usize;
    let mask = [mask[at], mask[(at + 1) % 4], mask[(at + 2) % 4], mask[(at + 3) % 4]];
    for bytes in bytes.chunks_mut(4) {
        bytes.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rfcs_examples_parse() {
        // RFC 6455 section 5.7.
        let hello = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        let Parsed::Header(header) = parse(&hello) else { panic!() };
        assert_eq!((header.len, header.payload, header.fin), (6, 5, true));
        let mut payload = hello[6..].to_vec();
        unmask(&mut payload, header.mask.unwrap(), 0);
        assert_eq!(payload, b"Hello");
        let Parsed::Header(header) = parse(&[0x82, 0x7e, 1, 0]) else { panic!() };
        assert_eq!((header.len, header.payload, header.mask), (4, 256, None));
        let Parsed::Header(header) = parse(&[0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]) else { panic!() };
        assert_eq!((header.len, header.payload), (10, 65536));
    }

    #[test]
    fn a_mask_may_be_removed_in_pieces() {
        let mut whole = *b"some masked bytes";
        unmask(&mut whole, [1, 2, 3, 4], 0);
        for cut in 0..whole.len() {
            let mut pieces = *b"some masked bytes";
            let (first, second) = pieces.split_at_mut(cut);
            unmask(first, [1, 2, 3, 4], 0);
            unmask(second, [1, 2, 3, 4], cut as u64);
            assert_eq!(pieces, whole);
        }
    }

    #[test]
    fn broken_rules_are_noticed() {
        for bytes in [
            [0x83, 0].as_slice(),
            &[0x91, 0],
            &[0x89, 0x7e, 0, 126],
            &[0x09, 0],
            &[0x82, 0x7f, 0x80, 0, 0, 0, 0, 0, 0, 0],
        ] {
            assert!(matches!(parse(bytes), Parsed::Malformed(_)), "{bytes:?}");
        }
    }

    #[test]
    fn a_run_of_frames_fills_its_call_and_is_masked_as_it_must_be() {
        let hello = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert!(is_likely_run(&hello, true));
        assert!(is_likely_run(&[hello, hello].concat(), true));
        assert!(!is_likely_run(&hello, false));
        assert!(!is_likely_run(&hello[..10], true));
        assert!(!is_likely_run(&[], true));
    }
}
