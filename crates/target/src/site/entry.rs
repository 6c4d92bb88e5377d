//! The entry site: the first emulated instruction that every call passes exactly once, with the
//! arguments still in their registers.

use crate::code::{ARGUMENTS, Flow, Function, decode_one, is_emulated, writes};
use crate::image::{Callee, Image};
use iced_x86::{Code, FlowControl};

/// Why a function has no entry site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoEntrySite {
    #[error("an argument register is overwritten at +{0:#x}, before any emulated instruction")]
    Clobbered(u64),
    #[error("control may leave the straight line at +{0:#x}, before any emulated instruction")]
    EndOfLine(u64),
    #[error("a branch to +{0:#x} would pass the site again")]
    PassedTwice(u64),
    #[error("code outside the function that it jumps to could not be followed")]
    UnknownFragment,
}

/// The entry site as an index into the function's instructions.
pub(crate) fn entry_site(
    image: &Image<'_>,
    function: &Function<'_>,
    arguments: usize,
) -> Result<usize, NoEntrySite> {
    let live = ARGUMENTS.get(..arguments).unwrap_or(&ARGUMENTS);
    for (index, decoded) in function.instructions.iter().enumerate() {
        let instruction = &decoded.instruction;
        let here = instruction.ip() - function.start;
        if is_emulated(decoded.bytes) {
            passed_once(image, function, instruction.ip())?;
            return Ok(index);
        }
        if instruction.flow_control() != FlowControl::Next {
            return Err(NoEntrySite::EndOfLine(here));
        }
        if live.iter().any(|register| writes(instruction, *register)) {
            return Err(NoEntrySite::Clobbered(here));
        }
    }
    Err(NoEntrySite::EndOfLine(function.end - function.start))
}

/// The first instruction, `endbr64` skipped: where `(%rsp)` still is the return address.
pub(crate) fn first_instruction(image: &Image<'_>, start: u64) -> Option<(u64, bool)> {
    let decoded = decode_one(&image.elf, start)?;
    if decoded.instruction.code() != Code::Endbr64 {
        return Some((start, is_emulated(decoded.bytes)));
    }
    let next = decoded.instruction.next_ip();
    let after = decode_one(&image.elf, next)?;
    // Only worth moving past the `endbr64` if that saves the second trap.
    if is_emulated(after.bytes) { Some((next, true)) } else { Some((start, false)) }
}

/// No direct branch, in the function or in the parts of it that lie elsewhere, lands between the
/// entry and the site, so that the straight line to the site is run once per call.
fn passed_once(image: &Image<'_>, function: &Function<'_>, site: u64) -> Result<(), NoEntrySite> {
    let before = function.start..=site;
    if let Some(target) = function.branch_targets().find(|target| before.contains(target)) {
        return Err(NoEntrySite::PassedTwice(target - function.start));
    }
    let mut fragments = Fragments { image, function, seen: Vec::new(), open: Vec::new() };
    for flow in &function.flow {
        if let Flow::Leave { callee: Callee::Local(target), .. } = flow {
            fragments.enter(*target);
        }
    }
    match fragments.lands_in(site)? {
        Some(target) => Err(NoEntrySite::PassedTwice(target - function.start)),
        None => Ok(()),
    }
}

/// Code outside the symbol that the function jumps to: compilers move unlikely blocks there, and
/// those jump back. Other functions reached by a tail jump look the same, so all is followed.
struct Fragments<'i, 'a, 'f> {
    image: &'i Image<'a>,
    function: &'f Function<'a>,
    seen: Vec<u64>,
    open: Vec<u64>,
}

const MOST_FRAGMENT_INSTRUCTIONS: usize = 4096;

impl Fragments<'_, '_, '_> {
    fn enter(&mut self, target: u64) {
        if !self.image.is_known_function(target) && !self.seen.contains(&target) {
            self.seen.push(target);
            self.open.push(target);
        }
    }

    /// A branch target inside `[start, site]`, if a fragment has one.
    fn lands_in(&mut self, site: u64) -> Result<Option<u64>, NoEntrySite> {
        let mut steps = 0;
        while let Some(mut at) = self.open.pop() {
            loop {
                steps += 1;
                let decoded = decode_one(&self.image.elf, at)
                    .filter(|_| steps <= MOST_FRAGMENT_INSTRUCTIONS)
                    .ok_or(NoEntrySite::UnknownFragment)?;
                let instruction = &decoded.instruction;
                let flow = instruction.flow_control();
                let target = instruction.near_branch_target();
                if matches!(flow, FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch)
                {
                    if (self.function.start..=site).contains(&target) {
                        return Ok(Some(target));
                    }
                    let inside = (self.function.start..self.function.end).contains(&target);
                    if !inside && let Callee::Local(target) = self.image.callee(instruction) {
                        self.enter(target);
                    }
                }
                match flow {
                    FlowControl::IndirectBranch
                        if self.image.callee(instruction) == Callee::Unknown =>
                    {
                        return Err(NoEntrySite::UnknownFragment);
                    }
                    FlowControl::Call
                        if self.image.never_returns(&self.image.callee(instruction)) =>
                    {
                        break;
                    }
                    FlowControl::UnconditionalBranch
                    | FlowControl::IndirectBranch
                    | FlowControl::Return
                    | FlowControl::Interrupt
                    | FlowControl::Exception => break,
                    _ => at = instruction.next_ip(),
                }
            }
        }
        Ok(None)
    }
}
