//! x86-64, decoded by iced-x86.

use super::{
    Comparison, Condition, Convention, Effect, Next, Operand, Place, SCRATCH, Step, Target,
};
use crate::code::decode_one;
use crate::elf::Elf;
use iced_x86::{
    ConditionCode, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind,
    Register,
};

const RAX: u8 = 0;
const RSP: u8 = 4;
const RBP: u8 = 5;

/// System V: rdi rsi rdx rcx r8 r9; rbx rsp rbp r12 to r15 are preserved.
pub(super) const CONVENTION: Convention = Convention {
    arguments: [7, 6, 2, 1, 8, 9],
    result: RAX,
    stack: RSP,
    preserved: 0b1111_0000_0011_1000,
};

pub(super) fn decode(elf: &Elf<'_>, vaddr: u64) -> Option<Step> {
    let decoded = decode_one(elf, vaddr)?;
    let length = u8::try_from(decoded.bytes.len()).ok()?;
    let mut effects = Vec::new();
    let next = flow(&decoded.instruction, &mut effects);
    if next == Next::Following {
        execute(&decoded.instruction, &mut effects);
    }
    Some(Step { length, effects, next })
}

fn flow(instruction: &Instruction, effects: &mut Vec<Effect>) -> Next {
    let near = instruction.near_branch_target();
    match instruction.flow_control() {
        FlowControl::Next => Next::Following,
        FlowControl::UnconditionalBranch => Next::Jump(Target::Address(near)),
        FlowControl::ConditionalBranch => {
            let condition = match instruction.condition_code() {
                ConditionCode::e => Condition::Zero,
                ConditionCode::ne => Condition::NotZero,
                _ => Condition::Other,
            };
            Next::Branch { target: near, condition }
        }
        FlowControl::Call if instruction.op0_kind() == OpKind::NearBranch64 => {
            Next::Call(Target::Address(near))
        }
        FlowControl::IndirectBranch => Next::Jump(through(instruction, effects)),
        FlowControl::IndirectCall => Next::Call(through(instruction, effects)),
        FlowControl::Return => Next::Return,
        // syscall, and calls that are none
        FlowControl::Call => {
            forget_written(instruction, effects);
            effects.push(Effect::Forget { to: RAX });
            Next::Call(Target::Register(SCRATCH))
        }
        FlowControl::Interrupt | FlowControl::Exception | FlowControl::XbeginXabortXend => {
            Next::Nothing
        }
    }
}

fn through(instruction: &Instruction, effects: &mut Vec<Effect>) -> Target {
    match instruction.op0_kind() {
        OpKind::Register => {
            number(instruction.op0_register()).map_or(Target::Register(SCRATCH), Target::Register)
        }
        OpKind::Memory => {
            effects.push(Effect::Load { to: SCRATCH, from: place(instruction), width: 8 });
            Target::Register(SCRATCH)
        }
        _ => {
            effects.push(Effect::Forget { to: SCRATCH });
            Target::Register(SCRATCH)
        }
    }
}

fn number(register: Register) -> Option<u8> {
    let full = register.full_register();
    full.is_gpr64().then(|| full.number() as u8)
}

/// A register that an instruction reads or writes with at least 32 bits.
fn wide(register: Register) -> Option<(u8, u8)> {
    let width = register.size() as u8;
    number(register).filter(|_| width >= 4).map(|number| (number, width))
}

fn place(instruction: &Instruction) -> Place {
    let displacement = instruction.memory_displacement64();
    let plain = !matches!(instruction.segment_prefix(), Register::FS | Register::GS);
    let (base, displacement) = match instruction.memory_base() {
        _ if !plain => (Operand::Unknown, 0),
        // iced gives the displacement of a RIP-relative operand as the address itself
        Register::RIP | Register::None => (Operand::Constant(displacement), 0),
        base => (number(base).map_or(Operand::Unknown, Operand::Register), displacement as i64),
    };
    Place { base, displacement, indexed: instruction.memory_index() != Register::None }
}

fn operand(instruction: &Instruction, index: u32) -> Operand {
    match instruction.op_kind(index) {
        OpKind::Register => wide(instruction.op_register(index))
            .map_or(Operand::Unknown, |(register, _)| Operand::Register(register)),
        OpKind::Memory => Operand::Unknown,
        _ => instruction.try_immediate(index).map_or(Operand::Unknown, Operand::Constant),
    }
}

fn execute(instruction: &Instruction, effects: &mut Vec<Effect>) {
    let to = (instruction.op0_kind() == OpKind::Register)
        .then(|| wide(instruction.op0_register()))
        .flatten();
    let from_memory = instruction.op_count() == 2 && instruction.op1_kind() == OpKind::Memory;
    let same = instruction.op_count() == 2
        && instruction.op1_kind() == OpKind::Register
        && instruction.op0_kind() == OpKind::Register
        && instruction.op0_register() == instruction.op1_register();
    let size = instruction.memory_size().size() as u8;
    let changes_flags = instruction.rflags_modified() != 0;
    match (instruction.mnemonic(), to) {
        (Mnemonic::Mov | Mnemonic::Movzx | Mnemonic::Movsx | Mnemonic::Movsxd, Some((to, _)))
            if from_memory =>
        {
            effects.push(Effect::Load { to, from: place(instruction), width: size });
        }
        (Mnemonic::Mov, Some((to, width))) => {
            effects.push(Effect::Set { to, from: operand(instruction, 1), offset: 0, width });
        }
        // sign-extension of a 32-bit value: its low half is what is known of it
        (Mnemonic::Movsxd, Some((to, _))) => {
            effects.push(Effect::Set { to, from: operand(instruction, 1), offset: 0, width: 4 });
        }
        (Mnemonic::Mov, None) if instruction.op0_kind() == OpKind::Memory => {
            let from = operand(instruction, 1);
            effects.push(Effect::Store { to: place(instruction), from, width: size });
        }
        (Mnemonic::Lea, Some((to, width))) => {
            let Place { base, displacement, indexed } = place(instruction);
            if indexed {
                effects.push(Effect::Forget { to });
            } else {
                effects.push(Effect::Set { to, from: base, offset: displacement, width });
            }
        }
        (Mnemonic::Push, _) => push(instruction, effects),
        (Mnemonic::Pop, Some((to, 8))) => pop(to, effects),
        (Mnemonic::Leave, _) => {
            effects.push(Effect::Set {
                to: RSP,
                from: Operand::Register(RBP),
                offset: 0,
                width: 8,
            });
            pop(RBP, effects);
        }
        (Mnemonic::Xor | Mnemonic::Sub, Some((to, width))) if same => {
            effects.push(Effect::ForgetFlags);
            effects.push(Effect::Set { to, from: Operand::Constant(0), offset: 0, width });
        }
        (Mnemonic::Add | Mnemonic::Sub, Some((to, width)))
            if instruction.try_immediate(1).is_ok() =>
        {
            let by = instruction.try_immediate(1).unwrap_or(0) as i64;
            let offset =
                if instruction.mnemonic() == Mnemonic::Add { by } else { by.wrapping_neg() };
            effects.push(Effect::ForgetFlags);
            effects.push(Effect::Set { to, from: Operand::Register(to), offset, width });
        }
        // aligning the stack: slots keep their distances from one another
        (Mnemonic::And, Some((RSP, 8))) => effects.push(Effect::ForgetFlags),
        (Mnemonic::Cmp | Mnemonic::Test, _) => compare(instruction, effects),
        (mnemonic, Some((to, width)))
            if instruction.condition_code() != ConditionCode::None && is_cmov(mnemonic) =>
        {
            if from_memory {
                effects.push(Effect::Load { to: SCRATCH, from: place(instruction), width: size });
            }
            let other =
                if from_memory { Operand::Register(SCRATCH) } else { operand(instruction, 1) };
            effects.push(Effect::Choose { to, one: Operand::Register(to), other, width });
        }
        _ => {
            forget_written(instruction, effects);
            if changes_flags {
                effects.push(Effect::ForgetFlags);
            }
        }
    }
}

fn is_cmov(mnemonic: Mnemonic) -> bool {
    format!("{mnemonic:?}").starts_with("Cmov")
}

fn push(instruction: &Instruction, effects: &mut Vec<Effect>) {
    let from = operand(instruction, 0);
    let top = Place { base: Operand::Register(RSP), displacement: -8, indexed: false };
    effects.push(Effect::Store { to: top, from, width: 8 });
    effects.push(Effect::Set { to: RSP, from: Operand::Register(RSP), offset: -8, width: 8 });
}

fn pop(to: u8, effects: &mut Vec<Effect>) {
    let top = Place { base: Operand::Register(RSP), displacement: 0, indexed: false };
    effects.push(Effect::Load { to, from: top, width: 8 });
    if to != RSP {
        effects.push(Effect::Set { to: RSP, from: Operand::Register(RSP), offset: 8, width: 8 });
    }
}

fn compare(instruction: &Instruction, effects: &mut Vec<Effect>) {
    let memory = (0..2).find(|&index| instruction.op_kind(index) == OpKind::Memory);
    let mut width = match instruction.op0_kind() {
        OpKind::Register => instruction.op0_register().size() as u8,
        _ => 8,
    };
    if memory.is_some() {
        width = instruction.memory_size().size() as u8;
        effects.push(Effect::Load { to: SCRATCH, from: place(instruction), width });
    }
    let side = |index| match instruction.op_kind(index) {
        OpKind::Memory => Operand::Register(SCRATCH),
        OpKind::Register => {
            number(instruction.op_register(index)).map_or(Operand::Unknown, Operand::Register)
        }
        _ => operand(instruction, index),
    };
    let kind = if instruction.mnemonic() == Mnemonic::Cmp {
        Comparison::Difference
    } else {
        Comparison::Conjunction
    };
    effects.push(Effect::Compare { left: side(0), right: side(1), kind, width });
}

fn forget_written(instruction: &Instruction, effects: &mut Vec<Effect>) {
    let mut factory = InstructionInfoFactory::new();
    let info = factory.info(instruction);
    if info.used_memory().iter().any(|used| used.access() == OpAccess::Read) {
        let width = instruction.memory_size().size().clamp(1, 64) as u8;
        effects.push(Effect::Load { to: SCRATCH, from: place(instruction), width });
    }
    let writes = |access| {
        matches!(
            access,
            OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite
        )
    };
    if info.used_memory().iter().any(|used| writes(used.access())) {
        let width = instruction.memory_size().size().clamp(1, 64) as u8;
        effects.push(Effect::Store { to: place(instruction), from: Operand::Unknown, width });
    }
    for used in info.used_registers() {
        if writes(used.access())
            && let Some(to) = number(used.register())
        {
            effects.push(Effect::Forget { to });
        }
    }
}
