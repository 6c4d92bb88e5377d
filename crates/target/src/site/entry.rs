//! The entry site: the first emulated instruction that every call passes exactly once, with the
//! arguments still in their registers.

use crate::code::{ARGUMENTS, Flow, Function, decode_one, is_emulated, writes};
use crate::image::{Callee, Image};
use iced_x86::{Code, FlowControl, Mnemonic};
use std::collections::HashSet;

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

/// Where a return probe may go: the first instruction, or one behind it with nothing but
/// `endbr64` and `nop`s between, so that `(%rsp)` still is the return address. Says also whether
/// it is emulated.
///
/// The first is preferred, unless a later one saves the second trap; a 5-byte `nop` is never
/// taken, because kernels from 6.18 rewrite it to a call through a trampoline.
pub(crate) fn first_instruction(image: &Image<'_>, start: u64) -> Option<(u64, bool)> {
    const LONGEST_PADDING: usize = 8;
    let mut plain = None;
    let mut at = start;
    for _ in 0..LONGEST_PADDING {
        let decoded = decode_one(&image.elf, at)?;
        if is_emulated(decoded.bytes) {
            return Some((at, true));
        }
        if decoded.bytes != FIVE_BYTE_NOP {
            plain = plain.or(Some((at, false)));
        }
        let instruction = &decoded.instruction;
        if instruction.code() != Code::Endbr64 && instruction.mnemonic() != Mnemonic::Nop {
            break;
        }
        at = instruction.next_ip();
    }
    plain
}

/// The first instruction of a function that is not a 5-byte `nop`.
pub(crate) fn not_five_byte_nop(image: &Image<'_>, start: u64) -> Option<u64> {
    let decoded = decode_one(&image.elf, start)?;
    if decoded.bytes == FIVE_BYTE_NOP {
        return first_instruction(image, decoded.instruction.next_ip()).map(|(at, _)| at);
    }
    Some(start)
}

const FIVE_BYTE_NOP: [u8; 5] = [0x0f, 0x1f, 0x44, 0, 0];

/// No direct branch, in the function or in the parts of it that lie elsewhere, lands between the
/// entry and the site, so that the straight line to the site is run once per call.
fn passed_once(image: &Image<'_>, function: &Function<'_>, site: u64) -> Result<(), NoEntrySite> {
    let before = function.start..=site;
    if let Some(target) = function.branch_targets().find(|target| before.contains(target)) {
        return Err(NoEntrySite::PassedTwice(target - function.start));
    }
    let mut fragments = Fragments { image, function, seen: HashSet::new(), open: Vec::new() };
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
    seen: HashSet<u64>,
    open: Vec<u64>,
}

const MOST_FRAGMENT_INSTRUCTIONS: usize = 4096;

impl Fragments<'_, '_, '_> {
    fn enter(&mut self, target: u64) {
        if !self.image.is_exported_function(target) && self.seen.insert(target) {
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
