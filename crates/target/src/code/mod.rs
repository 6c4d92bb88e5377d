//! x86-64 machine code: decoding, control flow inside one function, and what registers hold.

mod emulate;
mod execute;
mod explore;
mod function;
mod operand;
mod value;
mod words;

pub(crate) use emulate::is_emulated;
pub(crate) use explore::{Assumptions, CallSite, End, Explored, Path, explore};
pub(crate) use function::{Flow, Function, stores, writes};
pub(crate) use value::Value;
pub(crate) use words::word_text;

use crate::elf::Elf;
use iced_x86::{Decoder, DecoderOptions, FlowControl, GasFormatter, Instruction, Register};

/// The registers of the System V calling convention's integer arguments, in order.
pub(crate) const ARGUMENTS: [Register; 6] =
    [Register::RDI, Register::RSI, Register::RDX, Register::RCX, Register::R8, Register::R9];

/// One instruction and the bytes it was decoded from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decoded<'a> {
    pub(crate) instruction: Instruction,
    pub(crate) bytes: &'a [u8],
}

/// Longest x86 instruction.
const LONGEST: usize = 15;

/// Decodes the instruction at `vaddr`, if it lies in an executable segment.
pub(crate) fn decode_one<'a>(elf: &Elf<'a>, vaddr: u64) -> Option<Decoded<'a>> {
    let bytes = elf.code_at(vaddr)?;
    let bytes = bytes.get(..LONGEST).unwrap_or(bytes);
    let instruction = Decoder::with_ip(64, bytes, vaddr, DecoderOptions::NONE).decode();
    let bytes = bytes.get(..instruction.len())?;
    (!instruction.is_invalid()).then_some(Decoded { instruction, bytes })
}

/// The instruction as a person reads it, branch targets relative to the instruction itself, so
/// that the text is the same wherever the function lies.
pub(crate) fn text(instruction: &Instruction) -> String {
    let near = matches!(
        instruction.flow_control(),
        FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch | FlowControl::Call
    );
    if near && instruction.near_branch_target() != 0 {
        let mnemonic = format!("{:?}", instruction.mnemonic()).to_lowercase();
        let distance = instruction.near_branch_target().wrapping_sub(instruction.ip()) as i64;
        let sign = if distance < 0 { '-' } else { '+' };
        return format!("{mnemonic} .{sign}{:#x}", distance.unsigned_abs());
    }
    let mut text = String::new();
    iced_x86::Formatter::format(&mut GasFormatter::new(), instruction, &mut text);
    text
}
