//! Registers, stack slots and the last comparison at one point of a function.

use super::value::{Known, Path, Value};
use crate::keys::label::Labels;
use crate::keys::machine::{
    Comparison, Condition, Convention, Effect, Operand, Place, REGISTERS, Register,
};
use std::collections::BTreeMap;

/// What may be taken for granted about the arguments.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Assumed {
    /// The first argument points at something.
    pub(crate) object: bool,
    /// The 32-bit word that it points at is 0: OpenSSL's `SSL_TYPE_SSL_CONNECTION`.
    pub(crate) plain: bool,
    /// This argument is 0.
    pub(crate) zero: Option<u8>,
}

/// A load or a store. An index that is added to the address is left out.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Access {
    Load { address: Known, width: u8, indexed: bool },
    Store { address: Known, value: Known },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    registers: [Value; REGISTERS],
    slots: BTreeMap<i64, Value>,
    compared: Option<Compared>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Compared {
    left: Known,
    right: Known,
    kind: Comparison,
}

/// More slots than the functions have that matter; further ones are forgotten.
const MOST_SLOTS: usize = 96;

impl State {
    pub(crate) fn at_entry(convention: &Convention, assumed: Assumed) -> Self {
        let mut state = Self::unknown(convention);
        for (argument, register) in (0u8..).zip(convention.arguments) {
            let known = if assumed.zero == Some(argument) {
                Known::Constant(0)
            } else {
                Known::Path(Path::argument(argument))
            };
            state.set(register, Value::of(known));
        }
        state
    }

    /// Nothing is known but where the stack is, relative to itself.
    pub(crate) fn unknown(convention: &Convention) -> Self {
        let registers = [Value::UNKNOWN; REGISTERS];
        let mut state = Self { registers, slots: BTreeMap::new(), compared: None };
        state.set(convention.stack, Value::of(Known::Frame(0)));
        state
    }

    pub(crate) fn get(&self, register: Register) -> Value {
        self.registers.get(usize::from(register)).copied().unwrap_or(Value::UNKNOWN)
    }

    pub(crate) fn set(&mut self, register: Register, value: Value) {
        if let Some(place) = self.registers.get_mut(usize::from(register)) {
            *place = value;
        }
    }

    fn operand(&self, operand: Operand) -> Value {
        match operand {
            Operand::Register(register) => self.get(register),
            Operand::Constant(value) => Value::of(Known::Constant(value)),
            Operand::Unknown => Value::UNKNOWN,
        }
    }

    fn address(&self, place: Place) -> Known {
        if place.indexed {
            return Known::Unknown;
        }
        self.operand(place.base).known.plus(place.displacement)
    }

    /// Carries out one effect. Returns the access to memory that it makes.
    pub(crate) fn execute(
        &mut self,
        effect: Effect,
        labels: &Labels,
        assumed: Assumed,
    ) -> Option<Access> {
        match effect {
            Effect::Set { to, from, offset, width } => {
                let from = self.operand(from);
                let known = from.known.plus(offset).cut(width);
                self.set(to, labelled(known, if offset == 0 { from.labels } else { 0 }, labels));
            }
            Effect::Load { to, from, width } => {
                let value = self.load(from, width, labels, assumed);
                let address = self.operand(from.base).known.plus(from.displacement);
                self.set(to, value);
                return Some(Access::Load { address, width, indexed: from.indexed });
            }
            Effect::Store { to, from, width } => {
                let value = self.operand(from);
                let address = self.address(to);
                if let Known::Frame(at) = address {
                    self.store(at, width, value);
                }
                return Some(Access::Store { address, value: value.known });
            }
            Effect::Choose { to, one, other, width } => {
                let chosen = self.operand(one).or(self.operand(other));
                self.set(to, Value { known: chosen.known.cut(width), ..chosen });
            }
            Effect::Forget { to } => self.set(to, Value::UNKNOWN),
            Effect::Compare { left, right, kind, width } => {
                let cut = |operand| self.operand(operand).known.cut(width);
                let (left, right) = (cut(left), cut(right));
                self.compared = Some(Compared { left, right, kind });
            }
            Effect::ForgetFlags => self.compared = None,
        }
        None
    }

    fn load(&self, place: Place, width: u8, labels: &Labels, assumed: Assumed) -> Value {
        if place.indexed {
            let table = self.operand(place.base).known.plus(place.displacement);
            let labels = match table {
                Known::Constant(at) if width == 8 => labels.in_table(at),
                _ => 0,
            };
            return Value { known: Known::Unknown, labels };
        }
        match self.address(place) {
            Known::Frame(at) => {
                let slot = self.slots.get(&at).copied().unwrap_or(Value::UNKNOWN);
                Value { known: slot.known.cut(width), ..slot }
            }
            Known::Path(path) if assumed.plain && width <= 4 && path.is_argument(0) => {
                Value::of(Known::Constant(0))
            }
            Known::Constant(at) if width == 8 => {
                Value { known: Known::Slot(at), labels: labels.in_slot(at) }
            }
            address => Value::of(address.loaded(width)),
        }
    }

    /// Stores into the frame, forgetting every slot that overlaps.
    fn store(&mut self, at: i64, width: u8, value: Value) {
        let end = at.saturating_add(i64::from(width));
        self.slots.retain(|&slot, _| slot.saturating_add(8) <= at || slot >= end);
        let value = Value { known: value.known.cut(width), ..value };
        if width >= 4 && self.slots.len() < MOST_SLOTS && value != Value::UNKNOWN {
            self.slots.insert(at, value);
        }
    }

    /// What a call of unknown effect leaves.
    pub(crate) fn call(&mut self, convention: &Convention, at: u64) {
        for register in convention.arguments {
            // what it was given the address of, it may write
            if let Known::Frame(slot) = self.get(register).known {
                self.store(slot, 16, Value::UNKNOWN);
            }
        }
        for register in 0..REGISTERS as u8 {
            if convention.preserved >> register & 1 == 0 {
                self.set(register, Value::UNKNOWN);
            }
        }
        self.set(convention.result, Value::of(Known::Result(at)));
        self.compared = None;
    }

    /// Whether a branch on `condition` may be taken, and whether it may not be.
    pub(crate) fn ways(&self, condition: Condition, assumed: Assumed) -> (bool, bool) {
        let zero = self.compared.and_then(|compared| compared.is_zero(assumed));
        match (condition, zero) {
            (Condition::Zero, Some(zero)) => (zero, !zero),
            (Condition::NotZero, Some(zero)) => (!zero, zero),
            _ => (true, true),
        }
    }

    /// The values that the flags are of.
    pub(crate) fn tested(&self) -> Option<Known> {
        self.compared.map(|compared| compared.left)
    }

    /// Makes this what holds if either holds; true if it changed.
    pub(crate) fn join(&mut self, other: &Self) -> bool {
        let mut joined = self.clone();
        for (mine, theirs) in joined.registers.iter_mut().zip(&other.registers) {
            *mine = mine.or(*theirs);
        }
        for (at, value) in &mut joined.slots {
            *value = value.or(other.slots.get(at).copied().unwrap_or(Value::UNKNOWN));
        }
        for (at, value) in &other.slots {
            if !self.slots.contains_key(at) {
                joined.slots.insert(*at, value.or(Value::UNKNOWN));
            }
        }
        joined.slots.retain(|_, value| *value != Value::UNKNOWN);
        if joined.compared != other.compared {
            joined.compared = None;
        }
        let changed = joined != *self;
        *self = joined;
        changed
    }
}

fn labelled(known: Known, carried: u32, labels: &Labels) -> Value {
    let own = match known {
        Known::Constant(address) => labels.at(address),
        _ => 0,
    };
    Value { known, labels: own | carried }
}

impl Compared {
    /// Whether the zero flag is set, if that is known.
    fn is_zero(self, assumed: Assumed) -> Option<bool> {
        match (self.left, self.right, self.kind) {
            (Known::Constant(left), Known::Constant(right), Comparison::Difference) => {
                Some(left == right)
            }
            (Known::Constant(left), Known::Constant(right), Comparison::Conjunction) => {
                Some(left & right == 0)
            }
            (Known::Constant(0), _, Comparison::Conjunction)
            | (_, Known::Constant(0), Comparison::Conjunction) => Some(true),
            (Known::Path(path), Known::Constant(0), Comparison::Difference)
            | (Known::Path(path), Known::Path(_), Comparison::Conjunction)
                if assumed.object && path.is_argument(0) =>
            {
                Some(false)
            }
            _ => None,
        }
    }
}
