//! The calls of the internal function that are made by neither exported function: OpenSSL's own
//! BIO filter (`BIO_f_ssl`) reads and writes so. Where the internal function itself is not
//! probed, each such call is: at the `call`, where the arguments are in their registers, and
//! behind it, where the result still is in `%rax`.

use crate::code::{Decoded, decode_one, is_emulated, stores, writes};
use crate::elf::Elf;
use crate::image::{Callee, Image};
use crate::keys::bounds::Bounds;
use iced_x86::{Code, FlowControl, Mnemonic, OpKind, Register};
use memchr::memchr3_iter;
use std::collections::HashSet;
use std::ops::{Range, RangeInclusive};

/// A call to watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The `call`, which the kernel emulates.
    pub(crate) entry: u64,
    /// Passed once after each return of the call, and not otherwise.
    pub(crate) exit: u64,
}

/// Why the calls can't be watched where they are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoCallers {
    #[error("where the function that calls it at {0:#x} begins and ends is not known")]
    NoBounds(u64),
    #[error("the function that calls it at {0:#x} can't be decoded to its end")]
    Undecodable(u64),
    #[error("the jump at {0:#x} to it never comes back")]
    TailCall(u64),
    #[error("a branch may land behind the call at {0:#x} without it")]
    LandsBehind(u64),
    #[error("the jump at {0:#x}, in a function that calls it, goes through no table that is known")]
    UnknownTable(u64),
    #[error("more than {MOST_CALLERS} calls of it may be there")]
    TooMany,
}

/// Several times what any version has, which is one. What only looks like a call counts too, because
/// it takes time to tell.
const MOST_CALLERS: usize = 16;

/// All calls of `target` but those in the functions of `known`, whose calls are seen elsewhere.
pub(crate) fn other_callers(
    image: &Image<'_>,
    target: u64,
    known: &[Range<u64>],
) -> Result<Vec<Caller>, NoCallers> {
    let mut found = Vec::new();
    let bounds = Bounds::new(image);
    let unknown = |at: &u64| !known.iter().any(|function| function.contains(at));
    for (looked_at, at) in branches_into(&image.elf, &(target..=target)).filter(unknown).enumerate()
    {
        if looked_at == MOST_CALLERS {
            return Err(NoCallers::TooMany);
        }
        let range = bounds.stated(at).ok_or(NoCallers::NoBounds(at))?;
        let function = decode(image, &range).ok_or(NoCallers::Undecodable(at))?;
        // Otherwise these bytes are a part of another instruction.
        let Some(index) = function.iter().position(|decoded| decoded.instruction.ip() == at) else {
            continue;
        };
        let Some([call, rest @ ..]) = function.get(index..) else { continue };
        if call.instruction.flow_control() != FlowControl::Call {
            return Err(NoCallers::TailCall(at));
        }
        let exit = exit_behind(rest).ok_or(NoCallers::Undecodable(at))?;
        let behind = call.instruction.next_ip()..=exit;
        if branches_into(&image.elf, &behind).next().is_some() {
            return Err(NoCallers::LandsBehind(at));
        }
        for decoded in &function {
            if may_land_in(image, decoded, &function, &range, &behind)? {
                return Err(NoCallers::LandsBehind(at));
            }
        }
        found.push(Caller { entry: at, exit });
    }
    Ok(found)
}

/// The first emulated instruction behind the call that is reached with its result; else the first
/// one of all.
fn exit_behind(rest: &[Decoded<'_>]) -> Option<u64> {
    const FARTHEST: usize = 8;
    for decoded in rest.iter().take(FARTHEST) {
        let instruction = &decoded.instruction;
        if is_emulated(decoded.bytes) {
            return Some(instruction.ip());
        }
        // The count is in memory, and may be where this instruction stores.
        if instruction.flow_control() != FlowControl::Next
            || writes(instruction, Register::RAX)
            || stores(instruction)
        {
            break;
        }
    }
    let first = rest.first().filter(|decoded| decoded.instruction.mnemonic() != Mnemonic::Nop)?;
    Some(first.instruction.ip())
}

/// Every place that may be a branch with a 32-bit distance into `range`, whatever its bytes belong
/// to.
fn branches_into(elf: &Elf<'_>, range: &RangeInclusive<u64>) -> impl Iterator<Item = u64> {
    // Segments of a hostile file may all be the whole file: read no more than that once.
    let mut budget = elf.bytes.len();
    elf.segments
        .iter()
        .filter(|segment| segment.executable)
        .filter_map(|segment| Some((segment.vaddr, elf.slice(segment.offset, segment.file_size)?)))
        .take_while(move |(_, code)| {
            let within = code.len() <= budget;
            budget = budget.saturating_sub(code.len());
            within
        })
        .flat_map(move |(base, code)| {
            memchr3_iter(0xe8, 0xe9, 0x0f, code).filter_map(move |at| {
                let long = code.get(at)? == &0x0f;
                if long && !(0x80..=0x8f).contains(code.get(at + 1)?) {
                    return None;
                }
                let distance_at = at + 1 + usize::from(long);
                let distance = code.get(distance_at..)?.first_chunk::<4>()?;
                let next = base.wrapping_add(distance_at as u64 + 4);
                let target = next.wrapping_add_signed(i32::from_le_bytes(*distance).into());
                range.contains(&target).then(|| base.wrapping_add(at as u64))
            })
        })
}

/// Every instruction from the start of a function to its end.
fn decode<'a>(image: &Image<'a>, range: &Range<u64>) -> Option<Vec<Decoded<'a>>> {
    const LARGEST: u64 = 16_384;
    if range.end.checked_sub(range.start)? > LARGEST {
        return None;
    }
    let mut instructions = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let decoded = decode_one(&image.elf, at)?;
        at = decoded.instruction.next_ip();
        instructions.push(decoded);
    }
    (at == range.end).then_some(instructions)
}

/// True if the instruction may go on somewhere in `behind`, other than by running into it.
fn may_land_in(
    image: &Image<'_>,
    decoded: &Decoded<'_>,
    function: &[Decoded<'_>],
    bounds: &Range<u64>,
    behind: &RangeInclusive<u64>,
) -> Result<bool, NoCallers> {
    let instruction = &decoded.instruction;
    match instruction.flow_control() {
        FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch => {
            Ok(behind.contains(&instruction.near_branch_target()))
        }
        FlowControl::IndirectBranch if image.callee(instruction) == Callee::Unknown => {
            let targets = table_targets(image, function, bounds);
            if instruction.op0_kind() != OpKind::Register || targets.is_empty() {
                return Err(NoCallers::UnknownTable(instruction.ip()));
            }
            Ok(targets.iter().any(|target| behind.contains(target)))
        }
        _ => Ok(false),
    }
}

/// Where the jump tables of a function lead to, as compilers make them for position-independent
/// code: distances from the table itself. Each address that the function loads is taken for a
/// table, for as long as it leads into the function: too many rather than too few.
fn table_targets(image: &Image<'_>, function: &[Decoded<'_>], bounds: &Range<u64>) -> HashSet<u64> {
    const LARGEST: usize = 1024;
    let mut targets = HashSet::new();
    for Decoded { instruction, .. } in function {
        if instruction.code() != Code::Lea_r64_m || !instruction.is_ip_rel_memory_operand() {
            continue;
        }
        let table = instruction.ip_rel_memory_address();
        let Some(data) = image.elf.at(table) else { continue };
        let entries = data.as_chunks::<4>().0.iter().take(LARGEST);
        targets.extend(
            entries
                .map(|entry| table.wrapping_add_signed(i32::from_le_bytes(*entry).into()))
                .take_while(|target| bounds.contains(target)),
        );
    }
    targets
}
