//! Instructions of classic BPF, the language that libpcap compiles to.

use pcap::BpfProgram;

pub(super) const CLASS_LD: u16 = 0x00;
pub(super) const CLASS_LDX: u16 = 0x01;
pub(super) const CLASS_ST: u16 = 0x02;
pub(super) const CLASS_STX: u16 = 0x03;
pub(super) const CLASS_ALU: u16 = 0x04;
pub(super) const CLASS_JMP: u16 = 0x05;
pub(super) const CLASS_RET: u16 = 0x06;
pub(super) const CLASS_MISC: u16 = 0x07;

pub(super) const MODE_IMM: u16 = 0x00;
pub(super) const MODE_ABS: u16 = 0x20;
pub(super) const MODE_IND: u16 = 0x40;
pub(super) const MODE_MEM: u16 = 0x60;
pub(super) const MODE_LEN: u16 = 0x80;
pub(super) const MODE_MSH: u16 = 0xa0;

/// Words of scratch memory.
pub(super) const MEMORY: u32 = 16;

/// `struct bpf_insn` of pcap/bpf.h
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Instruction {
    pub(super) code: u16,
    pub(super) jump_true: u8,
    pub(super) jump_false: u8,
    pub(super) k: u32,
}

impl Instruction {
    pub(super) fn class(self) -> u16 {
        self.code & 0x07
    }

    pub(super) fn mode(self) -> u16 {
        self.code & 0xe0
    }

    /// Bytes that a load from the packet takes.
    pub(super) fn size(self) -> Option<u8> {
        match self.code & 0x18 {
            0x00 => Some(4),
            0x08 => Some(2),
            0x10 => Some(1),
            _ => None,
        }
    }

    pub(super) fn operation(self) -> u16 {
        self.code & 0xf0
    }

    /// The second operand is X, not K.
    pub(super) fn takes_x(self) -> bool {
        self.code & 0x08 != 0
    }
}

/// What libpcap made. The crate only shows it as text: code, jump if true, jump if false, k.
pub(super) fn instructions(program: &BpfProgram) -> Option<Vec<Instruction>> {
    program.get_instructions().iter().map(|instruction| parse(&instruction.to_string())).collect()
}

fn parse(text: &str) -> Option<Instruction> {
    let mut numbers = text.split(' ').map(|number| number.parse::<u32>().ok());
    let mut next = || numbers.next().flatten();
    Some(Instruction {
        code: next()?.try_into().ok()?,
        jump_true: next()?.try_into().ok()?,
        jump_false: next()?.try_into().ok()?,
        k: next()?,
    })
}
