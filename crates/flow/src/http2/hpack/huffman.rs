//! HPACK's Huffman code (RFC 7541 appendix B).
//!
//! The code is canonical: sorted by length and then by symbol, each code is the one before plus one.
//! So the lengths say it all.

/// The length of each symbol's code; the last symbol is EOS.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5,
    5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6,
    6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22,
    23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22,
    21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20,
    22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19,
    21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22,
    22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

const SHORTEST: usize = 5;
const LONGEST: usize = 30;

/// The code, by length of its codes.
struct Code {
    /// The symbols in the order of their codes.
    symbols: [u16; 257],
    /// For each length: the first code that is longer, aligned to the left.
    limit: [u32; LONGEST + 1],
    /// For each length: its first code, aligned to the left, and that code's place in `symbols`.
    first: [(u32, usize); LONGEST + 1],
}

const CODE: Code = build();

const fn build() -> Code {
    let mut code =
        Code { symbols: [0; 257], limit: [0; LONGEST + 1], first: [(0, 0); LONGEST + 1] };
    let (mut next, mut placed, mut len) = (0_u64, 0, SHORTEST);
    while len <= LONGEST {
        code.first[len] = (next as u32, placed);
        let mut symbol = 0;
        while symbol < LENGTHS.len() {
            if LENGTHS[symbol] as usize == len {
                code.symbols[placed] = symbol as u16;
                placed += 1;
                next += 1 << (32 - len);
            }
            symbol += 1;
        }
        // All ones is a code of the longest length, so `next` only leaves 32 bits at the very end.
        code.limit[len] = if next > u32::MAX as u64 { u32::MAX } else { next as u32 };
        len += 1;
    }
    code
}

/// Appends what `coded` says to `into`; false if it is not in the code.
pub(super) fn decode(coded: &[u8], into: &mut Vec<u8>) -> bool {
    const EOS: u16 = 256;
    static TABLE: Code = CODE;
    let mut input = coded.iter();
    let (mut bits, mut have) = (0_u64, 0_usize);
    loop {
        while have <= 32 {
            let Some(byte) = input.next() else { break };
            bits = bits << 8 | u64::from(*byte);
            have += 8;
        }
        if have < SHORTEST {
            return is_padding(bits, have);
        }
        // Beyond the end there are ones, as in the padding.
        let window = if have >= 32 {
            (bits >> (have - 32)) as u32
        } else {
            ((bits << (32 - have)) as u32) | (u32::MAX >> have)
        };
        let len = (SHORTEST..LONGEST).find(|len| window < TABLE.limit[*len]).unwrap_or(LONGEST);
        if len > have {
            return is_padding(bits, have);
        }
        let (first, place) = TABLE.first[len];
        let place = place + ((window - first) >> (32 - len)) as usize;
        match TABLE.symbols.get(place) {
            Some(&symbol) if symbol < EOS => into.push(symbol as u8),
            _ => return false,
        }
        have -= len;
        bits &= (1 << have) - 1;
    }
}

/// Less than a byte of ones may fill the last byte.
fn is_padding(bits: u64, have: usize) -> bool {
    have < 8 && bits == (1 << have) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The codes that the lengths imply, as `(code, length)`.
    fn codes() -> Vec<(u32, u8)> {
        let mut order: Vec<usize> = (0..LENGTHS.len()).collect();
        order.sort_by_key(|symbol| (LENGTHS[*symbol], *symbol));
        let mut codes = vec![(0, 0); LENGTHS.len()];
        let (mut code, mut len) = (0_u32, SHORTEST as u8);
        for symbol in order {
            code <<= LENGTHS[symbol] - len;
            len = LENGTHS[symbol];
            codes[symbol] = (code, len);
            code = code.wrapping_add(1);
        }
        codes
    }

    fn encode(text: &[u8]) -> Vec<u8> {
        let codes = codes();
        let mut bits: Vec<bool> = Vec::new();
        for byte in text {
            let (code, len) = codes[*byte as usize];
            bits.extend((0..len).rev().map(|bit| code >> bit & 1 == 1));
        }
        let byte = |bits: &[bool]| {
            (0..8).fold(0, |byte, bit| byte << 1 | u8::from(*bits.get(bit).unwrap_or(&true)))
        };
        bits.chunks(8).map(byte).collect()
    }

    fn decoded(coded: &[u8]) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        decode(coded, &mut text).then_some(text)
    }

    #[test]
    fn the_code_is_that_of_the_rfc() {
        // Appendix B: '0', 'a', 'z', '~', NUL, 0xff, EOS.
        for (symbol, code) in [
            (48, (0x0, 5)),
            (97, (0x3, 5)),
            (122, (0x7b, 7)),
            (126, (0x1ffd, 13)),
            (0, (0x1ff8, 13)),
            (255, (0x03ff_ffee, 26)),
            (256, (0x3fff_ffff, 30)),
        ] {
            assert_eq!(codes()[symbol], code, "{symbol}");
        }
        // Appendix C.4.1.
        let coded = [0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
        assert_eq!(decoded(&coded).as_deref(), Some(b"www.example.com".as_slice()));
    }

    #[test]
    fn every_byte_comes_back() {
        let all: Vec<u8> = (0..=255).chain((0..=255).rev()).collect();
        for len in 0..all.len() {
            assert_eq!(decoded(&encode(&all[..len])).as_deref(), Some(&all[..len]));
        }
    }

    #[test]
    fn wrong_padding_and_eos_are_refused() {
        assert_eq!(decoded(&[0x00]), None, "'0' and three zeros");
        assert_eq!(decoded(&[0x07, 0xff]), None, "more than seven bits of padding");
        assert_eq!(decoded(&[0xff; 4]), None, "EOS");
        assert_eq!(decoded(&[0x07]).as_deref(), Some(b"0".as_slice()));
        assert_eq!(decoded(&[0xff]), None, "eight bits of padding");
    }
}
