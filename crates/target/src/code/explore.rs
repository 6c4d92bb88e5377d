//! Every path through a small function, followed symbolically from its entry to its ends.
//!
//! Used on two kinds of function: accessors (which displacement do they load?) and thin wrappers
//! (which arguments do they hand to which callee, and what do they return?). A loop, too many
//! paths or an instruction that can't be followed end the exploration as unproved.

use super::operand::{Compared, Comparison, State};
use super::{ARGUMENTS, Value, decode_one};
use crate::image::{Callee, Image};
use iced_x86::{
    ConditionCode, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind,
    Register,
};

/// What may be taken for granted about the first argument.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Assumptions {
    /// It is not a null pointer.
    pub(crate) object_not_null: bool,
    /// The 32-bit word it points at is 0: OpenSSL's `SSL_TYPE_SSL_CONNECTION`.
    pub(crate) type_is_zero: bool,
}

/// A call or tail jump on a path.
#[derive(Debug, Clone)]
pub(crate) struct CallSite {
    pub(crate) callee: Callee,
    pub(crate) arguments: [Value; 6],
}

/// How a path ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// `ret`, with this in `%rax`.
    Return(Value),
    /// A jump to the path's last call site: its result is the function's.
    TailCall,
    /// A call that doesn't come back.
    NoReturn,
    /// Not followed: an indirect jump, a loop, bytes that aren't code.
    Lost,
}

/// One path from entry to end.
#[derive(Debug, Clone)]
pub(crate) struct Path {
    pub(crate) calls: Vec<CallSite>,
    pub(crate) end: End,
    /// What the branches taken say about calls' results as C `int`s.
    signs: Vec<(u16, Sign)>,
    /// A branch or load on this path depended on [`Assumptions::type_is_zero`].
    pub(crate) used_type: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Positive,
    NotPositive,
}

impl Path {
    /// The branches taken on this path imply that the call returned more than 0.
    pub(crate) fn is_positive(&self, call: u16) -> bool {
        self.signs.contains(&(call, Sign::Positive))
    }

    /// The branches taken on this path imply that the call returned 0 or less.
    pub(crate) fn is_not_positive(&self, call: u16) -> bool {
        self.signs.contains(&(call, Sign::NotPositive))
    }
}

/// All paths, or the reason why there are none to reason about.
pub(crate) type Explored = Result<Vec<Path>, TooComplex>;

/// More paths or steps than an accessor or wrapper has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it has too many paths to follow")]
pub(crate) struct TooComplex;

const MOST_PATHS: usize = 512;
const MOST_STEPS: usize = 20_000;

struct Walk {
    at: u64,
    visited: Vec<u64>,
    state: State,
    path: Path,
}

/// Follows every path of the function `[start, start + size)`.
pub(crate) fn explore(
    image: &Image<'_>,
    start: u64,
    size: u64,
    assumptions: Assumptions,
) -> Explored {
    let explorer = Explorer { image, start, end: start.saturating_add(size.max(1)), assumptions };
    let path = Path { calls: Vec::new(), end: End::Lost, signs: Vec::new(), used_type: false };
    let mut open = vec![Walk { at: start, visited: Vec::new(), state: State::at_entry(), path }];
    let mut done = Vec::new();
    let mut steps = 0;
    while let Some(mut walk) = open.pop() {
        loop {
            steps += 1;
            if steps > MOST_STEPS || done.len() + open.len() > MOST_PATHS {
                return Err(TooComplex);
            }
            match explorer.step(&mut walk) {
                Step::On => {}
                Step::Fork(other) => open.push(*other),
                Step::End(end) => {
                    walk.path.end = end;
                    walk.path.used_type = walk.state.used_type;
                    done.push(walk.path);
                    break;
                }
                Step::Impossible => break,
            }
        }
    }
    Ok(done)
}

enum Step {
    On,
    Fork(Box<Walk>),
    End(End),
    Impossible,
}

struct Explorer<'i, 'a> {
    image: &'i Image<'a>,
    start: u64,
    end: u64,
    assumptions: Assumptions,
}

impl Explorer<'_, '_> {
    fn step(&self, walk: &mut Walk) -> Step {
        if walk.visited.contains(&walk.at) {
            return Step::End(End::Lost);
        }
        walk.visited.push(walk.at);
        let Some(decoded) = decode_one(&self.image.elf, walk.at) else {
            return Step::End(End::Lost);
        };
        let instruction = decoded.instruction;
        walk.at = instruction.next_ip();
        match instruction.flow_control() {
            FlowControl::Next if is_conditional_move(&instruction) => {
                self.conditional_move(walk, &instruction)
            }
            FlowControl::Next => {
                self.execute(&mut walk.state, &instruction);
                Step::On
            }
            FlowControl::ConditionalBranch => self.branch(walk, &instruction),
            FlowControl::Call | FlowControl::IndirectCall => self.call(walk, &instruction),
            FlowControl::UnconditionalBranch | FlowControl::IndirectBranch => {
                self.jump(walk, &instruction)
            }
            FlowControl::Return => {
                let balanced = walk.state.get(Register::RSP) == Value::Frame(0);
                let result = walk.state.get(Register::RAX);
                Step::End(if balanced { End::Return(result) } else { End::Lost })
            }
            _ => Step::End(End::NoReturn),
        }
    }

    /// A jump back into the function, or within a part of it that was moved elsewhere, goes on;
    /// one to another function is a tail call.
    fn jump(&self, walk: &mut Walk, instruction: &Instruction) -> Step {
        let target = instruction.near_branch_target();
        let direct = instruction.flow_control() == FlowControl::UnconditionalBranch;
        if direct && target != self.start && (self.start..self.end).contains(&target) {
            walk.at = target;
            return Step::On;
        }
        let callee = self.image.callee(instruction);
        if callee == Callee::Unknown || walk.state.get(Register::RSP) != Value::Frame(0) {
            return Step::End(End::Lost);
        }
        walk.path.calls.push(CallSite { callee, arguments: arguments(&walk.state) });
        Step::End(End::TailCall)
    }

    fn call(&self, walk: &mut Walk, instruction: &Instruction) -> Step {
        let callee = self.image.callee(instruction);
        if self.image.never_returns(&callee) {
            return Step::End(End::NoReturn);
        }
        let Ok(id) = u16::try_from(walk.path.calls.len()) else { return Step::End(End::Lost) };
        let arguments = arguments(&walk.state);
        walk.path.calls.push(CallSite { callee, arguments });
        let state = &mut walk.state;
        for register in CALL_CLOBBERED {
            state.set(register, Value::Unknown);
        }
        state.set(Register::RAX, Value::Result(id));
        state.compared = None;
        for argument in arguments {
            if let Value::Frame(slot) = argument {
                state.store(slot, 8, Value::Written { call: id, slot });
            }
        }
        Step::On
    }

    fn branch(&self, walk: &mut Walk, instruction: &Instruction) -> Step {
        let condition = instruction.condition_code();
        let target = instruction.near_branch_target();
        self.fork(walk, condition, |taken| taken.at = target)
    }

    fn conditional_move(&self, walk: &mut Walk, instruction: &Instruction) -> Step {
        let type_is_zero = self.assumptions.type_is_zero;
        let value = walk.state.operand(instruction, 1, type_is_zero);
        // The destination's upper half is cleared whether or not the move happens.
        let register = instruction.op0_register();
        let kept = walk.state.get(register);
        walk.state.set(register, kept);
        self.fork(walk, instruction.condition_code(), |moved| moved.state.set(register, value))
    }

    /// Continues with the condition false in `walk` and true in the fork, as far as either can be.
    fn fork(&self, walk: &mut Walk, condition: ConditionCode, take: impl Fn(&mut Walk)) -> Step {
        match walk.state.compared.and_then(|compared| self.decide(condition, compared)) {
            Some(true) => {
                take(walk);
                return Step::On;
            }
            Some(false) => return Step::On,
            None => {}
        }
        let signs = walk.state.compared.and_then(tested_result).map(|call| {
            let (if_true, if_false) = implied_signs(condition);
            (call, if_true, if_false)
        });
        let mut taken = Walk {
            at: walk.at,
            visited: walk.visited.clone(),
            state: walk.state.clone(),
            path: walk.path.clone(),
        };
        take(&mut taken);
        let (mut taken_possible, mut falls_possible) = (true, true);
        if let Some((call, if_true, if_false)) = signs {
            taken_possible = learn(&mut taken.path, call, if_true);
            falls_possible = learn(&mut walk.path, call, if_false);
        }
        match (taken_possible, falls_possible) {
            (true, true) => Step::Fork(Box::new(taken)),
            (true, false) => {
                *walk = taken;
                Step::On
            }
            (false, true) => Step::On,
            (false, false) => Step::Impossible,
        }
    }

    fn decide(&self, condition: ConditionCode, compared: Compared) -> Option<bool> {
        let Compared { left, right, kind } = compared;
        let null_test = match kind {
            Comparison::Difference => right == Value::Const(0),
            Comparison::Conjunction => left == right,
        };
        if self.assumptions.object_not_null && null_test && left.is_argument(0) {
            return match condition {
                ConditionCode::e => Some(false),
                ConditionCode::ne => Some(true),
                _ => None,
            };
        }
        let result = match (left, right, kind) {
            (Value::Const(left), Value::Const(right), Comparison::Difference) => {
                left.checked_sub(right)?
            }
            (Value::Const(left), Value::Const(right), Comparison::Conjunction) => left & right,
            (Value::Const(0), _, Comparison::Conjunction)
            | (_, Value::Const(0), Comparison::Conjunction) => 0,
            _ => return None,
        };
        match condition {
            ConditionCode::e => Some(result == 0),
            ConditionCode::ne => Some(result != 0),
            _ => None,
        }
    }

    fn execute(&self, state: &mut State, instruction: &Instruction) {
        let type_is_zero = self.assumptions.type_is_zero;
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
                pop(state, instruction.op0_register())
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

/// Records the sign, unless the path already has the opposite one.
fn learn(path: &mut Path, call: u16, sign: Option<Sign>) -> bool {
    let Some(sign) = sign else { return true };
    match path.signs.iter().find(|(known, _)| *known == call) {
        Some((_, known)) => *known == sign,
        None => {
            path.signs.push((call, sign));
            true
        }
    }
}

/// The call whose result was compared with zero.
fn tested_result(compared: Compared) -> Option<u16> {
    let against_zero = match compared.kind {
        Comparison::Difference => compared.right == Value::Const(0),
        Comparison::Conjunction => compared.left == compared.right,
    };
    match compared.left {
        Value::Result(call) if against_zero => Some(call),
        _ => None,
    }
}

/// What a condition on `result ? 0` says about the result when it holds and when it doesn't.
fn implied_signs(condition: ConditionCode) -> (Option<Sign>, Option<Sign>) {
    use Sign::{NotPositive, Positive};
    match condition {
        ConditionCode::le => (Some(NotPositive), Some(Positive)),
        ConditionCode::g => (Some(Positive), Some(NotPositive)),
        ConditionCode::e | ConditionCode::s | ConditionCode::l => (Some(NotPositive), None),
        ConditionCode::ne | ConditionCode::ns | ConditionCode::ge => (None, Some(NotPositive)),
        _ => (None, None),
    }
}

fn is_conditional_move(instruction: &Instruction) -> bool {
    // SETcc has one operand; conditional jumps are not `FlowControl::Next`.
    instruction.condition_code() != ConditionCode::None && instruction.op_count() == 2
}

/// Registers that a called function may change.
const CALL_CLOBBERED: [Register; 9] = [
    Register::RAX,
    Register::RCX,
    Register::RDX,
    Register::RSI,
    Register::RDI,
    Register::R8,
    Register::R9,
    Register::R10,
    Register::R11,
];

fn arguments(state: &State) -> [Value; 6] {
    ARGUMENTS.map(|register| state.get(register))
}
