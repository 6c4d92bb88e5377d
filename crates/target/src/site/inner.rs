//! The internal function that the exported wrappers share, proved by following every path of
//! every wrapper.
//!
//! What is proved: each wrapper either reaches the target exactly once, with `ssl`, `buf` and
//! `num` as it got them and an out pointer in one and the same register, or returns a constant
//! ≤ 0 without reaching it; and `SSL_read`/`SSL_write` return the `size_t` the target stored
//! there if the target's result is > 0, and that result otherwise. That fixes the target's
//! signature and meaning without knowing anything else about it.

use crate::code::{Assumptions, CallSite, End, Explored, Path, Value, decode_one, explore};
use crate::image::{Callee, Image};
use iced_x86::FlowControl;

/// An exported wrapper of a read or write function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wrapper {
    pub(crate) name: &'static str,
    /// Index of its own `size_t *` argument; none if it returns the count.
    pub(crate) out: Option<u8>,
}

/// The target, and what was shown to reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Inner {
    pub(crate) vaddr: u64,
    /// Index of the argument that is the out pointer.
    pub(crate) out: u8,
    pub(crate) covers: Vec<&'static str>,
}

/// Why there is no shared target, naming the wrapper that spoils it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoInner {
    #[error("{0} has several definitions")]
    Ambiguous(&'static str),
    #[error("{0} can't be followed to its end: it leaves through a pointer, loops or is too large")]
    NotFollowed(&'static str),
    #[error("{0} hands its arguments and an out pointer to no internal function")]
    NoTarget(&'static str),
    #[error("{name} isn't shown to reach the same function {target:#x} exactly once")]
    Disagrees { name: &'static str, target: u64 },
}

/// A function that stands for the target: itself, or a wrapper shown to reach it.
#[derive(Debug, Clone, Copy)]
struct Reaches {
    vaddr: u64,
    out: u8,
}

/// Looks for the function that all `wrappers` present in the file share. `wrappers[0]` is the one
/// that returns the count.
pub(crate) fn shared_inner(image: &Image<'_>, wrappers: &[Wrapper]) -> Result<Inner, NoInner> {
    let mut explored = Vec::new();
    for &wrapper in wrappers {
        if image.definitions(wrapper.name).is_empty() {
            continue;
        }
        let symbol = image.function(wrapper.name).ok_or(NoInner::Ambiguous(wrapper.name))?;
        let paths = followed(explore(image, symbol.vaddr, symbol.size, Assumptions::default()))
            .ok_or(NoInner::NotFollowed(wrapper.name))?;
        explored.push((wrapper, symbol.vaddr, paths));
    }
    let Some((first, _, paths)) = explored.first().filter(|(w, ..)| w.out.is_none()) else {
        return Err(NoInner::NoTarget(wrappers.first().map_or("", |w| w.name)));
    };
    let target = target_of(paths).ok_or(NoInner::NoTarget(first.name))?;
    let mut known = vec![target];
    let mut covers = Vec::new();
    // A wrapper may go through another one: repeat until nothing new is shown.
    while covers.len() < explored.len() {
        let before = covers.len();
        for (wrapper, vaddr, paths) in &explored {
            if !covers.contains(&wrapper.name) && reaches_once(*wrapper, paths, &known) {
                covers.push(wrapper.name);
                known.extend(wrapper.out.map(|out| Reaches { vaddr: *vaddr, out }));
            }
        }
        if covers.len() == before {
            let spoiler = explored.iter().find(|(w, ..)| !covers.contains(&w.name));
            let name = spoiler.map_or(first.name, |(w, ..)| w.name);
            return Err(NoInner::Disagrees { name, target: target.vaddr });
        }
    }
    let covers = wrappers.iter().map(|w| w.name).filter(|name| covers.contains(name)).collect();
    Ok(Inner { vaddr: target.vaddr, out: target.out, covers })
}

/// True if `name`, on every path, calls the exported function at `callee` once with its own
/// first two arguments, or returns without having called it.
pub(crate) fn goes_through(image: &Image<'_>, name: &str, callee: u64) -> bool {
    let Some(symbol) = image.function(name) else { return false };
    let Some(paths) = followed(explore(image, symbol.vaddr, symbol.size, Assumptions::default()))
    else {
        return false;
    };
    let calls = |path: &Path| {
        path.calls
            .iter()
            .filter(|call| call.callee == Callee::Local(callee))
            .map(|call| {
                call.arguments.first().is_some_and(|value| value.is_argument(0))
                    && call.arguments.get(1).is_some_and(|value| value.is_argument(1))
            })
            .collect::<Vec<bool>>()
    };
    let mut reached = false;
    paths.iter().all(|path| match (calls(path).as_slice(), path.end) {
        ([], End::NoReturn) => true,
        ([], End::Return(result)) => result.is_failure(),
        ([true], _) => {
            reached = true;
            true
        }
        _ => false,
    }) && reached
}

/// True if a call or jump in the body of `name`, reached or not, leads to `callee`.
pub(crate) fn mentions(image: &Image<'_>, name: &str, callee: u64) -> bool {
    image.definitions(name).iter().any(|symbol| {
        let end = symbol.vaddr.saturating_add(symbol.size.min(LARGEST_BODY));
        let mut at = symbol.vaddr;
        while at < end {
            let Some(decoded) = decode_one(&image.elf, at) else { return false };
            let flow = decoded.instruction.flow_control();
            let leads_on = matches!(
                flow,
                FlowControl::Call
                    | FlowControl::IndirectCall
                    | FlowControl::UnconditionalBranch
                    | FlowControl::ConditionalBranch
                    | FlowControl::IndirectBranch
            );
            if leads_on && image.callee(&decoded.instruction) == Callee::Local(callee) {
                return true;
            }
            at = decoded.instruction.next_ip();
        }
        false
    })
}

/// Far more than any function of the interface has.
const LARGEST_BODY: u64 = 65_536;

fn followed(explored: Explored) -> Option<Vec<Path>> {
    explored.ok().filter(|paths| paths.iter().all(|path| path.end != End::Lost))
}

/// The callee that gets the three arguments unchanged and the address of a frame slot, and whose
/// caller returns what it left in that slot when its result is > 0.
fn target_of(paths: &[Path]) -> Option<Reaches> {
    paths.iter().find_map(|path| {
        let End::Return(Value::Written { call, slot }) = path.end else { return None };
        let site = path.calls.get(usize::from(call))?;
        let Callee::Local(vaddr) = site.callee else { return None };
        let out = site.arguments.iter().position(|value| *value == Value::Frame(slot))?;
        passes_buffer(site).then_some(Reaches { vaddr, out: u8::try_from(out).ok()? })
    })
}

fn passes_buffer(site: &CallSite) -> bool {
    matches!(
        site.arguments,
        [ssl, buffer, count, ..]
            if ssl.is_argument(0) && buffer.is_argument(1) && count.carries_argument(2)
    )
}

fn reaches_once(wrapper: Wrapper, paths: &[Path], known: &[Reaches]) -> bool {
    let mut reached = false;
    let all = paths.iter().all(|path| {
        let mut calls = path.calls.iter().enumerate().filter_map(|(index, site)| {
            let reaches = known.iter().find(|r| site.callee == Callee::Local(r.vaddr))?;
            Some((index, site, reaches))
        });
        match (calls.next(), calls.next()) {
            (None, _) => match path.end {
                End::NoReturn => true,
                End::Return(result) => result.is_failure(),
                End::TailCall | End::Lost => false,
            },
            (Some((index, site, reaches)), None) => {
                reached = true;
                let id = index as u16;
                let pointer = site.arguments.get(usize::from(reaches.out)).copied();
                passes_buffer(site)
                    && pointer.is_some_and(|pointer| returns_properly(wrapper, path, id, pointer))
            }
            (Some(_), Some(_)) => false,
        }
    });
    all && reached
}

/// After the call, the wrapper returns what its own interface promises.
fn returns_properly(wrapper: Wrapper, path: &Path, call: u16, pointer: Value) -> bool {
    let is_last = usize::from(call) + 1 == path.calls.len();
    match (wrapper.out, path.end) {
        (_, End::NoReturn) => true,
        (Some(out), End::TailCall) => is_last && pointer.is_argument(out),
        (Some(out), End::Return(result)) => {
            let failed = path.is_not_positive(call) && result.is_failure();
            pointer.is_argument(out) && (result == Value::Result(call) || failed)
        }
        (None, End::Return(result)) => match result {
            Value::Written { call: by, slot } => {
                by == call && pointer == Value::Frame(slot) && path.is_positive(call)
            }
            Value::Result(by) => by == call && path.is_not_positive(call),
            other => other.is_failure() && path.is_not_positive(call),
        },
        _ => false,
    }
}
