//! Data to send: random, so that nothing else on the host equals it, and named by its digest.

use sha2::{Digest, Sha256};

/// Random data for one transfer.
pub struct Payload;

impl Payload {
    /// ASCII text without control characters but with line ends; unlike anything else.
    pub fn text(len: usize) -> Vec<u8> {
        const LETTERS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 \n";
        let mut bytes = Self::binary(len);
        for byte in &mut bytes {
            *byte = LETTERS[usize::from(*byte & 63)];
        }
        bytes
    }

    /// Any bytes at all.
    pub fn binary(len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        fastrand::fill(&mut bytes);
        bytes
    }

    /// Text in characters of two, three and four bytes, so that every cut is in the middle of one.
    pub fn multibyte(len: usize) -> Vec<u8> {
        const CHARACTERS: [&str; 6] = ["é", "ж", "漢", "字", "🦀", "𝄞"];
        let mut text = String::with_capacity(len + 4);
        while text.len() < len {
            text.push_str(CHARACTERS[fastrand::usize(..CHARACTERS.len())]);
        }
        text.into_bytes()
    }

    /// A word that occurs nowhere else on the host.
    pub fn marker() -> String {
        format!("m{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..))
    }
}

/// The SHA-256 of some bytes, in hexadecimal, after their length: what assertions show.
pub fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    format!("{} bytes {}", bytes.len(), data_encoding::HEXLOWER.encode(&hash))
}
