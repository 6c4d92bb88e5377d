//! Probe sites in one Go function on x86-64, and what its prologue says of the calling convention.
//!
//! Every function of interest begins with the check whether its stack is large enough; where it is
//! not, the runtime moves the stack and the function begins again. The branch of that check is
//! emulated by the kernel, and what follows it is run once per call.

use super::plan::GoAbi;
use crate::code::{Flow, Function, is_emulated, writes};
use iced_x86::{FlowControl, Instruction, Mnemonic, OpKind, Register};

/// The integer argument registers of Go's `ABIInternal`, in order (src/cmd/compile/abi-internal.md).
pub(super) const ARGUMENTS: [Register; 9] = [
    Register::RAX,
    Register::RBX,
    Register::RCX,
    Register::RDI,
    Register::RSI,
    Register::R8,
    Register::R9,
    Register::R10,
    Register::R11,
];

/// `g.stackguard0`, which the check compares with.
const STACK_GUARD: u64 = 16;
/// The check is the function's second or fourth instruction.
const LONGEST_CHECK: usize = 5;

/// The convention by the stack check: in `ABIInternal` `g` is in `%r14`, in ABI0 it is loaded from
/// thread-local storage.
pub(super) fn abi(function: &Function<'_>) -> Option<GoAbi> {
    let mut from_thread = false;
    for decoded in function.instructions.iter().take(LONGEST_CHECK) {
        let instruction = &decoded.instruction;
        from_thread |= instruction.memory_segment() == Register::FS;
        if instruction.mnemonic() == Mnemonic::Cmp
            && (0..instruction.op_count())
                .any(|operand| instruction.op_kind(operand) == OpKind::Memory)
            && instruction.memory_displacement64() == STACK_GUARD
        {
            return match instruction.memory_base() {
                Register::R14 => Some(GoAbi::Registers),
                _ if from_thread => Some(GoAbi::Stack),
                _ => None,
            };
        }
    }
    None
}

/// Where a call is seen to begin, as an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// Passed once per call.
    Once(usize),
    /// The branch of the stack check: a call that it restarts passes it twice.
    StackCheck(usize),
}

/// The entry site: an emulated instruction where the stack pointer and the registers of the first
/// `arguments` arguments are as at the call. Behind the stack check, if there is one there; else the
/// check's own branch.
pub(super) fn entry(function: &Function<'_>, arguments: usize) -> Option<Entry> {
    let live = ARGUMENTS.get(..arguments)?;
    let kept = |instruction: &Instruction| {
        live.iter().chain(&[Register::RSP]).all(|register| !writes(instruction, *register))
    };
    let mut check = None;
    for (index, decoded) in function.instructions.iter().enumerate() {
        let instruction = &decoded.instruction;
        let is_check = check.is_none() && instruction.mnemonic() == Mnemonic::Jbe;
        match instruction.flow_control() {
            FlowControl::ConditionalBranch if is_check => check = Some(Entry::StackCheck(index)),
            FlowControl::Next if check.is_some() && is_emulated(decoded.bytes) => {
                return Some(Entry::Once(index));
            }
            FlowControl::Next if kept(instruction) => {}
            _ => break,
        }
    }
    check
}

/// Argument slots of the caller's frame, counted from the return address: receiver, slice pointer.
const SLOTS: [u64; 2] = [8, 16];

/// True if the first two arguments of a function with arguments in registers can be read off their
/// spill slots at every `ret`: each is stored to its slot once, before anything else happens, and
/// no other instruction stores to the slots or takes their address.
pub(super) fn keeps_home_slots(function: &Function<'_>) -> bool {
    let Some(frame) = Frame::of(function) else { return false };
    let mut stored = [false; SLOTS.len()];
    let mut early = true;
    let mut intact: Vec<Register> = ARGUMENTS.iter().take(SLOTS.len()).copied().collect();
    for (index, decoded) in function.instructions.iter().enumerate() {
        let instruction = &decoded.instruction;
        if index >= frame.begin {
            if let Some(slot) = frame.slot(instruction) {
                let is_spill = early
                    && instruction.mnemonic() == Mnemonic::Mov
                    && instruction.op0_kind() == OpKind::Memory
                    && instruction.op1_kind() == OpKind::Register
                    && ARGUMENTS.get(slot) == Some(&instruction.op1_register())
                    && intact.contains(&instruction.op1_register())
                    && stored.get(slot) == Some(&false);
                match stored.get_mut(slot) {
                    Some(done) if is_spill => *done = true,
                    _ => return false,
                }
            }
            early &= instruction.flow_control() == FlowControl::Next;
        }
        intact.retain(|register| !writes(instruction, *register));
    }
    stored.iter().all(|done| *done)
}

/// True if a function with arguments on the stack leaves the first two as they are.
pub(super) fn keeps_arguments(function: &Function<'_>) -> bool {
    let Some(frame) = Frame::of(function) else { return false };
    function
        .instructions
        .iter()
        .skip(frame.begin)
        .all(|decoded| frame.slot(&decoded.instruction).is_none())
}

/// The receiver's distance must fit into an attach cookie, in words.
const MOST_ABOVE: u64 = 0xffff * 8;

/// The call in `Read` that copies plaintext into the program's buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Copy {
    /// The index of the call.
    pub(super) call: usize,
    /// How far above the stack pointer the receiver is there.
    pub(super) receiver: u64,
}

/// The one call of `memmove` (at that address) whose destination is the function's slice argument. In
/// a function that keeps its first two arguments on the stack, in whichever convention: see
/// [`keeps_home_slots`] and [`keeps_arguments`].
pub(super) fn copy(function: &Function<'_>, memmove: u64, abi: GoAbi) -> Option<Copy> {
    let frame = Frame::of(function)?;
    let mut calls = function.instructions.iter().enumerate().filter(|(_, decoded)| {
        let instruction = &decoded.instruction;
        instruction.flow_control() == FlowControl::Call
            && instruction.near_branch_target() == memmove
    });
    let (Some((call, decoded)), None) = (calls.next(), calls.next()) else { return None };
    let [receiver, slice] = SLOTS.map(|slot| frame.size + slot);
    let is_copy = call > frame.begin
        && receiver <= MOST_ABOVE
        && is_emulated(decoded.bytes)
        && leads_to(function, call, slice, abi == GoAbi::Stack);
    is_copy.then_some(Copy { call, receiver })
}

/// Walks backwards from a call, as long as there is one way to it, to where its first argument was
/// loaded from `slot`.
fn leads_to(function: &Function<'_>, call: usize, slot: u64, on_stack: bool) -> bool {
    const FARTHEST: usize = 32;
    let at_slot = |instruction: &Instruction, slot: u64| {
        instruction.memory_base() == Register::RSP
            && instruction.memory_index() == Register::None
            && instruction.memory_displacement64() == slot
    };
    let mut argument = (!on_stack).then_some(Register::RAX);
    let mut at = call;
    for _ in 0..FARTHEST {
        let mut before = function.flow.iter().enumerate().filter(|(_, flow)| match flow {
            Flow::To(targets) => targets.contains(&at),
            Flow::Leave { next, .. } => *next == Some(at),
            Flow::Return | Flow::End => false,
        });
        let (Some((index, _)), None) = (before.next(), before.next()) else { return false };
        let Some(decoded) = function.instructions.get(index) else { return false };
        let instruction = &decoded.instruction;
        let is_move = instruction.mnemonic() == Mnemonic::Mov;
        match argument {
            Some(register) if writes(instruction, register) => {
                return is_move
                    && instruction.op0_register() == register
                    && instruction.op1_kind() == OpKind::Memory
                    && at_slot(instruction, slot);
            }
            None if is_move
                && instruction.op0_kind() == OpKind::Memory
                && instruction.op1_kind() == OpKind::Register
                && at_slot(instruction, 0) =>
            {
                argument = Some(instruction.op1_register());
            }
            _ => {}
        }
        if !matches!(
            instruction.flow_control(),
            FlowControl::Next | FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch
        ) {
            return false;
        }
        at = index;
    }
    false
}

/// The fixed frame of a function: all its instructions but the first and those of its ends address it
/// from the same stack pointer.
struct Frame {
    size: u64,
    /// The first instruction behind the prologue.
    begin: usize,
}

impl Frame {
    fn of(function: &Function<'_>) -> Option<Self> {
        const LONGEST_PROLOGUE: usize = 10;
        let mut size = 0;
        for (index, decoded) in function.instructions.iter().take(LONGEST_PROLOGUE).enumerate() {
            let instruction = &decoded.instruction;
            if instruction.mnemonic() == Mnemonic::Push {
                size += 8;
            } else if instruction.mnemonic() == Mnemonic::Sub
                && instruction.op0_register() == Register::RSP
            {
                size += match instruction.op1_kind() {
                    OpKind::Immediate8to64 => u64::try_from(instruction.immediate8to64()).ok()?,
                    OpKind::Immediate32to64 => u64::try_from(instruction.immediate32to64()).ok()?,
                    _ => return None,
                };
                return Some(Self { size, begin: index + 1 });
            } else if writes(instruction, Register::RSP) {
                return None;
            }
        }
        None
    }

    /// The argument slot that an instruction changes or whose address it takes. At the ends of the
    /// function, where the stack pointer is back, this may name a slot that it is not.
    fn slot(&self, instruction: &Instruction) -> Option<usize> {
        if instruction.memory_base() != Register::RSP {
            return None;
        }
        let is_lea = instruction.mnemonic() == Mnemonic::Lea;
        if !is_lea && !crate::code::stores(instruction) {
            return None;
        }
        let from = instruction.memory_displacement64();
        let size = if is_lea { 1 } else { instruction.memory_size().size().max(1) as u64 };
        let indexed = instruction.memory_index() != Register::None;
        SLOTS.iter().position(|slot| {
            let slot = self.size + slot;
            from < slot + 8 && (indexed || from.saturating_add(size) > slot)
        })
    }
}
