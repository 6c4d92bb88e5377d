//! The abstract machine state, and reading and writing an instruction's operands in it.

use super::{ARGUMENTS, Value};
use iced_x86::{Instruction, OpKind, Register};

/// Registers, frame slots and the last comparison.
#[derive(Debug, Clone)]
pub(crate) struct State {
    registers: [Value; 16],
    frame: Vec<(i64, Value)>,
    pub(crate) compared: Option<Compared>,
    /// Set when a load was answered from an assumption about the object's type.
    pub(crate) used_type: bool,
}

/// The operands of the instruction that set the flags.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Compared {
    pub(crate) left: Value,
    pub(crate) right: Value,
    pub(crate) kind: Comparison,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// Flags of `left - right`.
    Difference,
    /// Flags of `left & right`.
    Conjunction,
}

/// More slots than a thin wrapper or an accessor has; further ones are forgotten.
const MOST_SLOTS: usize = 64;

impl State {
    pub(crate) fn at_entry() -> Self {
        let mut state = Self {
            registers: [Value::Unknown; 16],
            frame: Vec::new(),
            compared: None,
            used_type: false,
        };
        for (index, register) in ARGUMENTS.iter().enumerate() {
            state.set(*register, Value::argument(index as u8));
        }
        state.set(Register::RSP, Value::Frame(0));
        state
    }

    pub(crate) fn get(&self, register: Register) -> Value {
        let whole = slot_of(register).and_then(|n| self.registers.get(n).copied());
        match (register.size(), whole) {
            (8, Some(value)) => value,
            (4, Some(value)) => value.low_half(),
            // Any part of zero is zero.
            (_, Some(Value::Const(0))) => Value::Const(0),
            _ => Value::Unknown,
        }
    }

    pub(crate) fn set(&mut self, register: Register, value: Value) {
        let value = match register.size() {
            8 => value,
            4 => value.low_half(),
            _ => Value::Unknown,
        };
        if let Some(place) = slot_of(register).and_then(|n| self.registers.get_mut(n)) {
            *place = value;
        }
    }

    /// The address of the memory operand.
    pub(crate) fn address(&self, instruction: &Instruction) -> Value {
        let plain_segment = !matches!(instruction.segment_prefix(), Register::FS | Register::GS);
        if !plain_segment || instruction.memory_index() != Register::None {
            return Value::Unknown;
        }
        match instruction.memory_base() {
            Register::RIP | Register::None => Value::Unknown,
            base => self.get(base).plus(instruction.memory_displacement64() as i64),
        }
    }

    /// What a load of `size` bytes yields. `type_is_zero`: the 32-bit tag at the start of the
    /// object is assumed to be 0.
    pub(crate) fn load(&mut self, address: Value, size: usize, type_is_zero: bool) -> Value {
        match address {
            Value::Frame(at) => match self.slot(at) {
                _ if size < 4 => Value::Unknown,
                value if size == 8 => value,
                value => value.low_half(),
            },
            // A field is given as the displacement of the *pointer* that was followed.
            Value::Field { offset, size: 8 } => Value::Pointee { outer: offset, inner: 0 },
            _ => match address.object_offset() {
                Some(0) if type_is_zero && size <= 4 => {
                    self.used_type = true;
                    Value::Const(0)
                }
                Some(offset) => Value::Field { offset, size: size as u8 },
                None => Value::Unknown,
            },
        }
    }

    pub(crate) fn slot(&self, at: i64) -> Value {
        self.frame.iter().find(|(slot, _)| *slot == at).map_or(Value::Unknown, |(_, value)| *value)
    }

    /// Stores into the frame, forgetting every slot that overlaps.
    pub(crate) fn store(&mut self, at: i64, size: usize, value: Value) {
        let end = at.saturating_add(size as i64);
        self.frame.retain(|(slot, _)| slot.saturating_add(8) <= at || *slot >= end);
        let value = match size {
            8 => value,
            4 => value.low_half(),
            _ => return,
        };
        if self.frame.len() < MOST_SLOTS && value != Value::Unknown {
            self.frame.push((at, value));
        }
    }

    /// The value of operand `index`.
    pub(crate) fn operand(
        &mut self,
        instruction: &Instruction,
        index: u32,
        type_is_zero: bool,
    ) -> Value {
        match instruction.op_kind(index) {
            OpKind::Register => self.get(instruction.op_register(index)),
            OpKind::Memory => {
                let address = self.address(instruction);
                self.load(address, instruction.memory_size().size(), type_is_zero)
            }
            _ => instruction
                .try_immediate(index)
                .map_or(Value::Unknown, |immediate| Value::Const(immediate as i64)),
        }
    }

    /// Writes operand 0.
    pub(crate) fn assign(&mut self, instruction: &Instruction, value: Value) {
        match instruction.op0_kind() {
            OpKind::Register => self.set(instruction.op0_register(), value),
            OpKind::Memory => {
                if let Value::Frame(at) = self.address(instruction) {
                    self.store(at, instruction.memory_size().size(), value);
                }
            }
            _ => {}
        }
    }
}

fn slot_of(register: Register) -> Option<usize> {
    let full = register.full_register();
    (full.is_gpr64()).then(|| full.number())
}
