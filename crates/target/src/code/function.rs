//! One function decoded from its symbol's start to its end, and where each instruction leads.
//!
//! A uprobe that is not on an instruction boundary corrupts the program it watches. So a
//! function is only usable if the whole of it decodes, and every direct branch in it lands on a
//! boundary of that decoding.

use super::{Decoded, decode_one};
use crate::image::{Callee, Image};
use iced_x86::{FlowControl, Instruction, InstructionInfoFactory, OpAccess, Register};
use std::collections::HashMap;

/// Why nothing but the plain placement can be used in a function.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("its size is not known")]
    NoSize,
    #[error("it is larger than {MAX_SIZE} bytes")]
    TooLarge,
    #[error("it does not lie in an executable segment of the file")]
    NotCode,
    #[error("the bytes at +{0:#x} are not an instruction")]
    Undecodable(u64),
    #[error("the branch at +{0:#x} does not land on an instruction boundary")]
    OffBoundary(u64),
    #[error("the jump at +{0:#x} is indirect")]
    IndirectJump(u64),
    #[error("execution runs off its end at +{0:#x}")]
    RunsOff(u64),
}

/// Where control goes after an instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Flow {
    /// To these instructions of the function, and nowhere else.
    To(Vec<usize>),
    /// Out of the function by a jump, and, if conditional, also to an instruction of it.
    Leave { target: u64, callee: Callee, next: Option<usize> },
    /// Back to the caller.
    Return,
    /// Nowhere: a call of a function that doesn't return, or a trap.
    End,
}

/// The decoded function.
#[derive(Debug)]
pub(crate) struct Function<'a> {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) instructions: Vec<Decoded<'a>>,
    pub(crate) flow: Vec<Flow>,
}

const MAX_SIZE: u64 = 65_536;

impl<'a> Function<'a> {
    /// Decodes `[start, start + size)` and checks every branch in it.
    pub(crate) fn decode(image: &Image<'a>, start: u64, size: u64) -> Result<Self, Unusable> {
        if size == 0 {
            return Err(Unusable::NoSize);
        }
        if size > MAX_SIZE {
            return Err(Unusable::TooLarge);
        }
        let end = start.checked_add(size).ok_or(Unusable::NotCode)?;
        let code = image.elf.code_at(start).ok_or(Unusable::NotCode)?;
        if (code.len() as u64) < size {
            return Err(Unusable::NotCode);
        }
        let mut instructions = Vec::new();
        let mut index_of = HashMap::new();
        let mut at = start;
        while at < end {
            let decoded = decode_one(&image.elf, at).ok_or(Unusable::Undecodable(at - start))?;
            index_of.insert(at, instructions.len());
            at = decoded.instruction.next_ip();
            instructions.push(decoded);
        }
        if at != end {
            return Err(Unusable::Undecodable(end - start));
        }
        let mut function = Self { start, end, instructions, flow: Vec::new() };
        for index in 0..function.instructions.len() {
            let flow = function.flow_after(image, index, &index_of)?;
            function.flow.push(flow);
        }
        Ok(function)
    }

    fn flow_after(
        &self,
        image: &Image<'_>,
        index: usize,
        index_of: &HashMap<u64, usize>,
    ) -> Result<Flow, Unusable> {
        let Some(Decoded { instruction, .. }) = self.instructions.get(index) else {
            return Ok(Flow::End);
        };
        let here = instruction.ip() - self.start;
        // An instruction past the end only matters if control can reach it: padding may follow
        // a call that doesn't return, whatever its name.
        let next = (index + 1 < self.instructions.len()).then_some(index + 1);
        let branch = |target: u64| match index_of.get(&target) {
            Some(&index) => Ok(Some(index)),
            None if (self.start..self.end).contains(&target) => Err(Unusable::OffBoundary(here)),
            None => Ok(None),
        };
        Ok(match instruction.flow_control() {
            FlowControl::Next | FlowControl::IndirectCall | FlowControl::Call => {
                let is_call = instruction.flow_control() != FlowControl::Next;
                if is_call && image.never_returns(&image.callee(instruction)) {
                    Flow::End
                } else {
                    Flow::To(vec![next.ok_or(Unusable::RunsOff(here))?])
                }
            }
            FlowControl::ConditionalBranch => {
                let next = next.ok_or(Unusable::RunsOff(here))?;
                let target = instruction.near_branch_target();
                match branch(target)? {
                    Some(taken) => Flow::To(vec![next, taken]),
                    None => {
                        Flow::Leave { target, callee: image.callee(instruction), next: Some(next) }
                    }
                }
            }
            FlowControl::UnconditionalBranch => {
                let target = instruction.near_branch_target();
                match branch(target)? {
                    Some(taken) => Flow::To(vec![taken]),
                    None => Flow::Leave { target, callee: image.callee(instruction), next: None },
                }
            }
            FlowControl::IndirectBranch => match image.callee(instruction) {
                Callee::Unknown => return Err(Unusable::IndirectJump(here)),
                callee => Flow::Leave { target: 0, callee, next: None },
            },
            FlowControl::Return => Flow::Return,
            FlowControl::Interrupt | FlowControl::Exception | FlowControl::XbeginXabortXend => {
                Flow::End
            }
        })
    }

    /// Every address inside the function that a direct branch of it jumps to.
    pub(crate) fn branch_targets(&self) -> impl Iterator<Item = u64> + '_ {
        self.instructions.iter().filter_map(|decoded| {
            let branches = matches!(
                decoded.instruction.flow_control(),
                FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch
            );
            let target = decoded.instruction.near_branch_target();
            (branches && (self.start..self.end).contains(&target)).then_some(target)
        })
    }
}

/// True if the instruction may change any part of `register`. A call changes every register
/// that the calling convention doesn't preserve, which is the caller's business to know.
pub(crate) fn writes(instruction: &Instruction, register: Register) -> bool {
    let mut factory = InstructionInfoFactory::new();
    factory
        .info(instruction)
        .used_registers()
        .iter()
        .any(|used| used.register().full_register() == register && is_write(used.access()))
}

/// True if the instruction may store to memory other than by `push` or `call`.
pub(crate) fn stores(instruction: &Instruction) -> bool {
    let mut factory = InstructionInfoFactory::new();
    factory.info(instruction).used_memory().iter().any(|used| is_write(used.access()))
}

fn is_write(access: OpAccess) -> bool {
    matches!(
        access,
        OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite
    )
}
