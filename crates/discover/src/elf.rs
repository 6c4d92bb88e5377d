//! The first bytes of an ELF file: is it code for this machine? Nothing more is parsed here.

use thiserror::Error;

/// An instruction set, as `e_machine` numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine(pub u16);

impl Machine {
    const X86_64: Self = Self(62);
    const AARCH64: Self = Self(183);

    /// The machine that this program was built for.
    pub const HERE: Self = if cfg!(target_arch = "aarch64") { Self::AARCH64 } else { Self::X86_64 };
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self.0 {
            3 => "x86",
            8 => "MIPS",
            21 => "PowerPC64",
            22 => "S/390",
            40 => "ARM",
            62 => "x86-64",
            183 => "AArch64",
            243 => "RISC-V",
            258 => "LoongArch",
            other => return write!(f, "machine number {other}"),
        };
        f.write_str(name)
    }
}

/// Why a file can't hold code that this host's 64-bit processes run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unsuitable {
    /// No ELF header.
    #[error("it is not an ELF file")]
    NotElf,
    /// A 32-bit file.
    #[error("it is a 32-bit ELF file; only 64-bit programs can be captured")]
    Not64Bit,
    /// Big-endian.
    #[error("it is a big-endian ELF file")]
    BigEndian,
    /// Code for another machine.
    #[error("it is for {found}, and this host is {here}", here = Machine::HERE)]
    OtherMachine {
        /// The machine it is for.
        found: Machine,
    },
    /// An object file, a core dump.
    #[error("it is neither an executable nor a shared library (ELF type {0})")]
    NotLinked(u16),
}

/// Length of a 64-bit ELF file's header.
pub(crate) const HEADER_LEN: usize = 64;

/// Judges a file by its first bytes (as many of [`HEADER_LEN`] as it has).
pub(crate) fn judge(header: &[u8]) -> Result<(), Unsuitable> {
    const CLASS_64: u8 = 2;
    const LITTLE_ENDIAN: u8 = 1;
    const EXEC: u16 = 2;
    const DYN: u16 = 3;
    if !header.starts_with(b"\x7fELF") {
        return Err(Unsuitable::NotElf);
    }
    if header.get(4).is_some_and(|&class| class != CLASS_64) {
        return Err(Unsuitable::Not64Bit);
    }
    if header.get(5).is_some_and(|&order| order != LITTLE_ENDIAN) {
        return Err(Unsuitable::BigEndian);
    }
    let (Some(kind), Some(machine)) = (u16_at(header, 16), u16_at(header, 18)) else {
        return Err(Unsuitable::NotElf);
    };
    if Machine(machine) != Machine::HERE {
        return Err(Unsuitable::OtherMachine { found: Machine(machine) });
    }
    if kind != EXEC && kind != DYN {
        return Err(Unsuitable::NotLinked(kind));
    }
    if header.len() < HEADER_LEN {
        return Err(Unsuitable::NotElf);
    }
    Ok(())
}

/// A little-endian number at `offset`.
pub(crate) fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(offset..)?.first_chunk()?))
}

/// A little-endian number at `offset`.
pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(offset..)?.first_chunk()?))
}

/// A little-endian number at `offset`.
pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(offset..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(class: u8, order: u8, kind: u16, machine: u16) -> Vec<u8> {
        let mut header = vec![0x7f, b'E', b'L', b'F', class, order, 1];
        header.resize(16, 0);
        header.extend(kind.to_le_bytes());
        header.extend(machine.to_le_bytes());
        header.resize(HEADER_LEN, 0);
        header
    }

    #[test]
    fn each_reason_is_told_apart() {
        let here = Machine::HERE.0;
        assert_eq!(judge(&header(2, 1, 3, here)), Ok(()));
        assert_eq!(judge(&header(2, 1, 2, here)), Ok(()));
        assert_eq!(judge(b"#!/bin/sh\n"), Err(Unsuitable::NotElf));
        assert_eq!(judge(b"\x7fELF"), Err(Unsuitable::NotElf));
        assert_eq!(judge(&header(1, 1, 3, 3)), Err(Unsuitable::Not64Bit));
        assert_eq!(judge(&header(2, 2, 3, 22)), Err(Unsuitable::BigEndian));
        assert_eq!(
            judge(&header(2, 1, 3, 243)),
            Err(Unsuitable::OtherMachine { found: Machine(243) })
        );
        assert_eq!(judge(&header(2, 1, 1, here)), Err(Unsuitable::NotLinked(1)));
        assert_eq!(judge(&header(2, 1, 3, here)[..40]), Err(Unsuitable::NotElf));
    }
}
