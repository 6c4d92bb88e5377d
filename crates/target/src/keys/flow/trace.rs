//! One function followed over all its ways at once: at each point, what holds on every way there,
//! and the labels that some way brings.

use super::state::{Access, Assumed, State};
use super::value::{Known, Value};
use crate::image::{Callee, Image};
use crate::keys::label::Labels;
use crate::keys::machine::{ARGUMENTS, Convention, Next, Step, Target, decode};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

/// A call or a tail jump.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) callee: Callee,
    /// The pointer that is called, where no symbol names it.
    pub(crate) through: Known,
    pub(crate) arguments: [Value; ARGUMENTS],
}

/// What was seen in one function.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trace {
    pub(crate) calls: Vec<Call>,
    /// What each `ret` returns.
    pub(crate) returns: Vec<Known>,
    pub(crate) accesses: Vec<Access>,
    /// What branches were decided by.
    pub(crate) tested: Vec<Known>,
}

/// No function that matters is larger.
const LARGEST: u64 = 0x1_0000;
/// Instructions decoded or gone through in one file, each as often as what holds before it becomes
/// less. The dearest real library takes a tenth of it.
const MOST_STEPS: u32 = 300_000;
/// Passing from one block to the next costs as much as this many instructions.
const STEPS_OF_A_BLOCK: u32 = 10;

/// What is needed to follow the functions of one file, and how much of it may still be done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tracer<'i, 'a> {
    pub(crate) image: &'i Image<'a>,
    pub(crate) labels: &'i Labels,
    pub(crate) budget: &'i Budget,
}

/// Steps that may still be taken.
#[derive(Debug)]
pub(crate) struct Budget(Cell<u32>);

impl Default for Budget {
    fn default() -> Self {
        Self(Cell::new(MOST_STEPS))
    }
}

impl Budget {
    /// Takes so many steps, if there are any left.
    fn take(&self, steps: u32) -> bool {
        let left = self.0.get();
        self.0.set(left.saturating_sub(steps));
        left > 0
    }
}

/// The decoded function, and where its blocks begin.
struct Code {
    steps: BTreeMap<u64, Step>,
    leaders: BTreeSet<u64>,
    /// Leaders that nothing but a jump through a table may reach.
    unreached: Vec<u64>,
}

impl Tracer<'_, '_> {
    /// Follows the function, or none if it is too large or too dear.
    pub(crate) fn trace(&self, function: &Range<u64>, assumed: Assumed) -> Option<Trace> {
        if function.end.checked_sub(function.start)? > LARGEST {
            return None;
        }
        let code = self.decode(function);
        let convention = Convention::of(self.image.elf.machine);
        // Each state with the round that it was found in.
        let mut states: HashMap<u64, (State, usize)> = HashMap::new();
        let mut round = 0;
        states.insert(function.start, (State::at_entry(convention, assumed), round));
        // What nothing leads to is padding, or another function's where the bounds are guessed. It
        // is gone through afterwards, with nothing known of its arguments, and changes nothing of
        // what was found before.
        let mut unled = code.unreached.iter();
        let mut work = vec![function.start];
        while let Some(start) = work.pop().or_else(|| {
            let start = *unled.find(|start| !states.contains_key(start))?;
            round += 1;
            states.insert(start, (State::unknown(convention), round));
            Some(start)
        }) {
            if !self.budget.take(STEPS_OF_A_BLOCK) {
                return None;
            }
            let Some((state, _)) = states.get(&start).cloned() else { continue };
            for (to, state) in self.run(&code, function, start, state, assumed, None) {
                let changed = match states.get_mut(&to) {
                    Some((known, found)) => *found == round && known.join(&state),
                    None => states.insert(to, (state, round)).is_none(),
                };
                if changed && !work.contains(&to) {
                    work.push(to);
                }
            }
        }
        let mut trace = Trace::default();
        let mut starts: Vec<_> = states.into_iter().collect();
        starts.sort_unstable_by_key(|(start, _)| *start);
        for (start, (state, _)) in starts {
            self.run(&code, function, start, state, assumed, Some(&mut trace));
        }
        Some(trace)
    }

    fn decode(&self, function: &Range<u64>) -> Code {
        let mut code = Code {
            steps: BTreeMap::new(),
            leaders: BTreeSet::from([function.start]),
            unreached: Vec::new(),
        };
        let mut at = function.start;
        let mut after_jump = Vec::new();
        let mut fell = true;
        while function.contains(&at) {
            let Some(step) = decode(&self.image.elf, at).filter(|_| self.budget.take(1)) else {
                break;
            };
            let following = at.wrapping_add(u64::from(step.length));
            if !fell {
                after_jump.push(at);
            }
            fell = true;
            match step.next {
                Next::Branch { target, .. } => {
                    code.leaders.extend([target, following]);
                }
                Next::Jump(target) => {
                    if let Target::Address(target) = target {
                        code.leaders.insert(target);
                    }
                    fell = false;
                }
                Next::Return | Next::Nothing => fell = false,
                Next::Call(Target::Address(target)) => {
                    fell = !self.image.never_returns(&self.resolve(target));
                }
                Next::Following | Next::Call(_) => {}
            }
            code.steps.insert(at, step);
            at = following;
        }
        code.unreached = after_jump.into_iter().filter(|at| !code.leaders.contains(at)).collect();
        code.leaders.extend(&code.unreached);
        code
    }

    /// Goes through one block; returns the states with which it enters others.
    fn run(
        &self,
        code: &Code,
        function: &Range<u64>,
        start: u64,
        mut state: State,
        assumed: Assumed,
        mut trace: Option<&mut Trace>,
    ) -> Vec<(u64, State)> {
        let convention = Convention::of(self.image.elf.machine);
        let mut at = start;
        while let Some(step) = code.steps.get(&at).filter(|_| self.budget.take(1)) {
            for effect in &step.effects {
                let access = state.execute(*effect, self.labels, assumed);
                if let Some(trace) = trace.as_deref_mut() {
                    trace.accesses.extend(access);
                }
            }
            let following = at.wrapping_add(u64::from(step.length));
            match step.next {
                Next::Following => {}
                Next::Branch { target, condition } => {
                    let (taken, not_taken) = state.ways(condition, assumed);
                    if let Some(trace) = trace.as_deref_mut() {
                        trace.tested.extend(state.tested());
                    }
                    let mut to = Vec::new();
                    if taken && function.contains(&target) {
                        to.push((target, state.clone()));
                    } else if taken && let Some(trace) = trace {
                        trace.calls.push(self.call(&state, convention, Target::Address(target)));
                    }
                    if not_taken {
                        to.push((following, state));
                    }
                    return to;
                }
                Next::Jump(Target::Address(target)) if function.contains(&target) => {
                    return vec![(target, state)];
                }
                Next::Jump(target) => {
                    let call = self.call(&state, convention, target);
                    let table = call.callee == Callee::Unknown && !code.unreached.is_empty();
                    if let Some(trace) = trace {
                        trace.calls.push(call);
                    }
                    let to = if table { &code.unreached[..] } else { &[] };
                    return to.iter().map(|&to| (to, state.clone())).collect();
                }
                Next::Call(target) => {
                    let call = self.call(&state, convention, target);
                    let ends = self.image.never_returns(&call.callee);
                    if let Some(trace) = trace.as_deref_mut() {
                        trace.calls.push(call);
                    }
                    if ends {
                        return Vec::new();
                    }
                    state.call(convention, at);
                }
                Next::Return => {
                    if let Some(trace) = trace {
                        trace.returns.push(state.get(convention.result).known);
                    }
                    return Vec::new();
                }
                Next::Nothing => return Vec::new(),
            }
            at = following;
            if code.leaders.contains(&at) {
                return vec![(at, state)];
            }
        }
        Vec::new()
    }

    fn call(&self, state: &State, convention: &Convention, target: Target) -> Call {
        let (callee, through) = match target {
            Target::Address(address) => (self.resolve(address), Known::Unknown),
            Target::Register(register) => {
                let through = state.get(register).known;
                (self.pointed_at(through), through)
            }
        };
        Call { callee, through, arguments: convention.arguments.map(|r| state.get(r)) }
    }

    fn pointed_at(&self, pointer: Known) -> Callee {
        match pointer {
            Known::Slot(slot) => self.image.in_got(slot),
            Known::Constant(address) => self.resolve(address),
            _ => Callee::Unknown,
        }
    }

    /// The function behind an address: PLT stubs are seen through.
    fn resolve(&self, address: u64) -> Callee {
        const LONGEST_STUB: usize = 5;
        let convention = Convention::of(self.image.elf.machine);
        let mut state = State::at_entry(convention, Assumed::default());
        let mut at = address;
        for _ in 0..LONGEST_STUB {
            let Some(step) = decode(&self.image.elf, at) else { break };
            for effect in &step.effects {
                state.execute(*effect, self.labels, Assumed::default());
            }
            match step.next {
                Next::Following => {}
                Next::Jump(Target::Register(register)) => {
                    if let Known::Slot(slot) = state.get(register).known {
                        match self.image.in_got(slot) {
                            Callee::Unknown => {}
                            known => return known,
                        }
                    }
                    break;
                }
                _ => break,
            }
            at = at.wrapping_add(u64::from(step.length));
        }
        Callee::Local(address)
    }
}
