//! What one instruction does, for either instruction set, in the few terms that following a
//! pointer through a function needs. Whatever is not modelled forgets what it may write.

mod arm64;
mod x86;

use crate::elf::{Elf, Machine};

/// A general register: 0 to 15 on x86-64, 0 to 31 (`sp`) on AArch64, and [`SCRATCH`].
pub(crate) type Register = u8;
/// Holds the target of a jump through memory; no register of the machine.
pub(crate) const SCRATCH: Register = 32;
pub(crate) const REGISTERS: usize = 33;
/// Integer arguments that are followed.
pub(crate) const ARGUMENTS: usize = 6;

/// What the calling convention says.
#[derive(Debug)]
pub(crate) struct Convention {
    pub(crate) arguments: [Register; ARGUMENTS],
    pub(crate) result: Register,
    pub(crate) stack: Register,
    /// One bit per register that a call leaves alone.
    pub(crate) preserved: u64,
}

impl Convention {
    pub(crate) const fn of(machine: Machine) -> &'static Self {
        match machine {
            Machine::X86_64 => &x86::CONVENTION,
            Machine::Aarch64 => &arm64::CONVENTION,
        }
    }
}

/// A value that an instruction uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operand {
    Register(Register),
    Constant(u64),
    Unknown,
}

/// A memory operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) base: Operand,
    pub(crate) displacement: i64,
    /// An index register is added: somewhere in what lies there.
    pub(crate) indexed: bool,
}

/// One effect of an instruction; they are carried out in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// `to = from + offset`, cut to `width` bytes.
    Set {
        to: Register,
        from: Operand,
        offset: i64,
        width: u8,
    },
    Load {
        to: Register,
        from: Place,
        width: u8,
    },
    Store {
        to: Place,
        from: Operand,
        width: u8,
    },
    /// `to` becomes one of the two.
    Choose {
        to: Register,
        one: Operand,
        other: Operand,
        width: u8,
    },
    Forget {
        to: Register,
    },
    Compare {
        left: Operand,
        right: Operand,
        kind: Comparison,
        width: u8,
    },
    ForgetFlags,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// Flags of `left - right`.
    Difference,
    /// Flags of `left & right`.
    Conjunction,
}

/// When a branch is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    Zero,
    NotZero,
    Other,
}

/// Where a call or a jump goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Address(u64),
    Register(Register),
}

/// What runs next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    Following,
    Jump(Target),
    Branch {
        target: u64,
        condition: Condition,
    },
    Call(Target),
    Return,
    /// A trap.
    Nothing,
}

/// One decoded instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) length: u8,
    pub(crate) effects: Vec<Effect>,
    pub(crate) next: Next,
}

/// Decodes the instruction at `vaddr`, if there is code.
pub(crate) fn decode(elf: &Elf<'_>, vaddr: u64) -> Option<Step> {
    match elf.machine {
        Machine::X86_64 => x86::decode(elf, vaddr),
        Machine::Aarch64 => arm64::decode(elf, vaddr),
    }
}
