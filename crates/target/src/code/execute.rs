//! The effect of one instruction on the abstract state. What isn't modelled makes unknown
//! whatever it may write, which is always right.

use super::Value;
use super::operand::{Compared, Comparison, State};
use iced_x86::{Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register};

/// Carries out an instruction that neither branches nor calls.
pub(crate) fn execute(state: &mut State, instruction: &Instruction, type_is_zero: bool) {
    let sets_flags = instruction.rflags_modified() != 0;
    if sets_flags {
        state.compared = None;
    }
    match instruction.mnemonic() {
        Mnemonic::Mov | Mnemonic::Movsxd => {
            let value = state.operand(instruction, 1, type_is_zero);
            state.assign(instruction, value);
        }
        Mnemonic::Lea => {
            let value = state.address(instruction);
            state.assign(instruction, value);
        }
        Mnemonic::Push => {
            let value = match instruction.op0_kind() {
                OpKind::Register => state.get(instruction.op0_register()),
                _ => Value::Unknown,
            };
            let top = state.get(Register::RSP).plus(-8);
            state.set(Register::RSP, top);
            if let Value::Frame(at) = top {
                state.store(at, 8, value);
            }
        }
        Mnemonic::Pop if instruction.op0_kind() == OpKind::Register => {
            pop(state, instruction.op0_register());
        }
        Mnemonic::Leave => {
            let frame = state.get(Register::RBP);
            state.set(Register::RSP, frame);
            pop(state, Register::RBP);
        }
        Mnemonic::Cmp | Mnemonic::Test => {
            let left = state.operand(instruction, 0, type_is_zero);
            let right = state.operand(instruction, 1, type_is_zero);
            let kind = if instruction.mnemonic() == Mnemonic::Cmp {
                Comparison::Difference
            } else {
                Comparison::Conjunction
            };
            state.compared = Some(Compared { left, right, kind });
        }
        Mnemonic::Xor | Mnemonic::Sub
            if instruction.op0_kind() == OpKind::Register
                && instruction.op1_kind() == OpKind::Register
                && instruction.op0_register() == instruction.op1_register() =>
        {
            state.assign(instruction, Value::Const(0));
        }
        Mnemonic::Add | Mnemonic::Sub | Mnemonic::And => {
            arithmetic(state, instruction, type_is_zero);
        }
        _ => forget_written(state, instruction),
    }
}

fn pop(state: &mut State, register: Register) {
    let top = state.get(Register::RSP);
    let value = if let Value::Frame(at) = top { state.slot(at) } else { Value::Unknown };
    state.set(Register::RSP, top.plus(8));
    state.set(register, value);
}

fn arithmetic(state: &mut State, instruction: &Instruction, type_is_zero: bool) {
    let left = state.operand(instruction, 0, type_is_zero);
    let right = state.operand(instruction, 1, type_is_zero);
    let value = match (instruction.mnemonic(), right) {
        (Mnemonic::Add, Value::Const(by)) => left.plus(by),
        (Mnemonic::Sub, Value::Const(by)) => {
            by.checked_neg().map_or(Value::Unknown, |by| left.plus(by))
        }
        (Mnemonic::And, Value::Const(mask)) => match left {
            Value::Const(left) => Value::Const(left & mask),
            _ => Value::Unknown,
        },
        _ => Value::Unknown,
    };
    let kind = match instruction.mnemonic() {
        Mnemonic::Sub => Some(Comparison::Difference),
        Mnemonic::And => Some(Comparison::Conjunction),
        _ => None,
    };
    state.compared = kind.map(|kind| Compared { left, right, kind });
    state.assign(instruction, value);
}

/// An instruction that isn't modelled makes unknown whatever it may write.
fn forget_written(state: &mut State, instruction: &Instruction) {
    let mut factory = InstructionInfoFactory::new();
    let info = factory.info(instruction);
    let writes = |access| {
        matches!(
            access,
            OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite
        )
    };
    if info.used_memory().iter().any(|used| writes(used.access()))
        && let Value::Frame(at) = state.address(instruction)
    {
        state.store(at, instruction.memory_size().size().max(1), Value::Unknown);
    }
    for used in info.used_registers() {
        if writes(used.access()) {
            state.set(used.register().full_register(), Value::Unknown);
        }
    }
}
