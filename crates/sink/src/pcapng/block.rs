//! The shape that all blocks share: type, length, body, options, length again.

/// Block types (section 11.1 of the draft).
pub(super) mod kind {
    pub(in crate::pcapng) const SECTION_HEADER: u32 = 0x0a0d_0d0a;
    pub(in crate::pcapng) const INTERFACE_DESCRIPTION: u32 = 1;
    pub(in crate::pcapng) const INTERFACE_STATISTICS: u32 = 5;
    pub(in crate::pcapng) const ENHANCED_PACKET: u32 = 6;
    pub(in crate::pcapng) const DECRYPTION_SECRETS: u32 = 10;
}

/// Option `opt_comment`, allowed in every block.
pub(super) const COMMENT: u16 = 1;

/// A block on its way into a buffer. Everything is little-endian, as the section header's magic
/// number says.
pub(super) struct Block<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    has_options: bool,
}

impl<'a> Block<'a> {
    /// Begins a block at the end of `out`. It is whole once [`Block::end`] was called.
    pub(super) fn begin(kind: u32, out: &'a mut Vec<u8>) -> Self {
        let start = out.len();
        out.extend_from_slice(&kind.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        Self { out, start, has_options: false }
    }

    pub(super) fn u16(&mut self, value: u16) -> &mut Self {
        self.out.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub(super) fn u32(&mut self, value: u32) -> &mut Self {
        self.out.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// A time as two words, the high one first.
    pub(super) fn time(&mut self, nanos: u64) -> &mut Self {
        self.u32((nanos >> 32) as u32).u32(nanos as u32)
    }

    /// Bytes, filled up to a multiple of four.
    pub(super) fn padded(&mut self, bytes: &[u8]) -> &mut Self {
        self.out.extend_from_slice(bytes);
        self.out.extend_from_slice(&[0; 3][..padding(bytes.len())]);
        self
    }

    /// An option. Its length has 16 bits: what is longer is cut.
    pub(super) fn option(&mut self, code: u16, value: &[u8]) -> &mut Self {
        let value = &value[..value.len().min(usize::from(u16::MAX))];
        self.has_options = true;
        self.u16(code).u16(value.len() as u16).padded(value)
    }

    /// An option that is text, left out if there is none.
    pub(super) fn text(&mut self, code: u16, value: Option<&str>) -> &mut Self {
        if let Some(value) = value {
            let cut = value.floor_char_boundary(usize::from(u16::MAX));
            self.option(code, &value.as_bytes()[..cut]);
        }
        self
    }

    /// Ends the options, if there were any, and sets both lengths.
    pub(super) fn end(&mut self) {
        if self.has_options {
            self.out.extend_from_slice(&[0; 4]);
        }
        let total = (self.out.len() - self.start + 4) as u32;
        self.out.extend_from_slice(&total.to_le_bytes());
        self.out[self.start + 4..self.start + 8].copy_from_slice(&total.to_le_bytes());
    }
}

fn padding(len: usize) -> usize {
    len.wrapping_neg() % 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_multiples_of_four_and_agree() {
        for len in 0..9_usize {
            let mut out = vec![0xee; 3];
            let value = vec![7; len];
            Block::begin(6, &mut out).u32(1).padded(&value).option(1, &value).end();
            let block = &out[3..];
            assert_eq!(block.len() % 4, 0, "{len}");
            assert_eq!(block[4..8], (block.len() as u32).to_le_bytes());
            assert_eq!(block[block.len() - 4..], (block.len() as u32).to_le_bytes());
        }
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        let mut out = Vec::new();
        let text = "é".repeat(40_000);
        Block::begin(6, &mut out).text(1, Some(&text)).end();
        let len = u16::from_le_bytes([out[10], out[11]]);
        assert_eq!(len, 65_534);
        assert!(std::str::from_utf8(&out[12..12 + usize::from(len)]).is_ok());
    }
}
