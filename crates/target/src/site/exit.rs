//! Exit sites: a set of instructions such that every call that returns passes exactly one of
//! them, once, with the return value already in `%rax`.

use crate::code::{Flow, Function, is_emulated, stores, writes};
use iced_x86::{FlowControl, Register};

/// Why a function has no exit sites.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoExitSites {
    #[error("it leaves by a jump at +{0:#x}, where the return value isn't known yet")]
    TailCall(u64),
    #[error("before the `ret` at +{0:#x} no emulated instruction has the return value in %rax")]
    NoCandidate(u64),
    #[error("some path passes none of the candidate sites, or more than one")]
    NotExactlyOnce,
    #[error("it never returns")]
    NoReturn,
}

/// What must hold from an exit site to the `ret`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    /// `%rax` is final.
    ReturnValue,
    /// `%rax` is final and so is memory, because the byte count is behind a pointer.
    ReturnValueAndMemory,
}

/// Emulated exit sites, as ascending indices into the function's instructions.
pub(crate) fn exit_sites(
    function: &Function<'_>,
    settled: Settled,
) -> Result<Vec<usize>, NoExitSites> {
    let rets = returns(function)?;
    let graph = Graph::of(function);
    let mut sites = Vec::new();
    for &ret in &rets {
        graph.collect_sites(function, ret, settled, &mut sites)?;
    }
    sites.sort_unstable();
    sites.dedup();
    if graph.passed_exactly_once(function, &sites) {
        Ok(sites)
    } else {
        Err(NoExitSites::NotExactlyOnce)
    }
}

/// The `ret` instructions themselves: always passed exactly once, but single-stepped.
pub(crate) fn ret_sites(function: &Function<'_>) -> Result<Vec<usize>, NoExitSites> {
    returns(function)
}

fn returns(function: &Function<'_>) -> Result<Vec<usize>, NoExitSites> {
    let mut rets = Vec::new();
    for (index, flow) in function.flow.iter().enumerate() {
        match flow {
            Flow::Return => rets.push(index),
            Flow::Leave { .. } => {
                let at = function.instructions.get(index).map_or(0, |d| d.instruction.ip());
                return Err(NoExitSites::TailCall(at.saturating_sub(function.start)));
            }
            _ => {}
        }
    }
    if rets.is_empty() { Err(NoExitSites::NoReturn) } else { Ok(rets) }
}

struct Graph {
    successors: Vec<Vec<usize>>,
    predecessors: Vec<Vec<usize>>,
}

impl Graph {
    fn of(function: &Function<'_>) -> Self {
        let mut predecessors = vec![Vec::new(); function.flow.len()];
        let successors: Vec<Vec<usize>> = function
            .flow
            .iter()
            .map(|flow| if let Flow::To(targets) = flow { targets.clone() } else { Vec::new() })
            .collect();
        for (index, targets) in successors.iter().enumerate() {
            for &target in targets {
                if let Some(list) = predecessors.get_mut(target) {
                    list.push(index);
                }
            }
        }
        Self { successors, predecessors }
    }

    /// Walks backwards from `ret`, on every path, to the nearest emulated instruction.
    fn collect_sites(
        &self,
        function: &Function<'_>,
        ret: usize,
        settled: Settled,
        sites: &mut Vec<usize>,
    ) -> Result<(), NoExitSites> {
        let offset = function
            .instructions
            .get(ret)
            .map_or(0, |decoded| decoded.instruction.ip().saturating_sub(function.start));
        let failed = NoExitSites::NoCandidate(offset);
        let mut seen = vec![false; function.instructions.len()];
        let mut open = vec![ret];
        while let Some(at) = open.pop() {
            let predecessors = self.predecessors.get(at).map_or(&[][..], Vec::as_slice);
            if at == 0 || predecessors.is_empty() && at == ret {
                return Err(failed);
            }
            for &before in predecessors {
                let Some(decoded) = function.instructions.get(before) else { continue };
                if seen.get(before).copied().unwrap_or(true) {
                    continue;
                }
                if let Some(mark) = seen.get_mut(before) {
                    *mark = true;
                }
                if unsettles(function, before, settled) {
                    return Err(failed);
                }
                if is_emulated(decoded.bytes) {
                    sites.push(before);
                } else {
                    open.push(before);
                }
            }
        }
        Ok(())
    }

    /// Counts, over all paths, how many sites have been passed on reaching each instruction.
    fn passed_exactly_once(&self, function: &Function<'_>, sites: &[usize]) -> bool {
        const NONE: u8 = 1;
        const ONE: u8 = 2;
        const MORE: u8 = 4;
        let mut counts = vec![0u8; self.successors.len()];
        let mut open = vec![0usize];
        if let Some(first) = counts.first_mut() {
            *first = NONE;
        }
        while let Some(at) = open.pop() {
            let mut after = counts.get(at).copied().unwrap_or(0);
            if sites.binary_search(&at).is_ok() {
                let none = after & NONE != 0;
                let some = after & (ONE | MORE) != 0;
                after = if none { ONE } else { 0 } | if some { MORE } else { 0 };
            }
            for &next in self.successors.get(at).map_or(&[][..], Vec::as_slice) {
                if let Some(count) = counts.get_mut(next)
                    && *count | after != *count
                {
                    *count |= after;
                    open.push(next);
                }
            }
        }
        function
            .flow
            .iter()
            .zip(&counts)
            .all(|(flow, &count)| !matches!(flow, Flow::Return) || matches!(count, 0 | ONE))
    }
}

/// True if the instruction may change what must be final after an exit site. The site itself is
/// held to it too: a `call` is emulated, but its callee changes `%rax`.
fn unsettles(function: &Function<'_>, index: usize, settled: Settled) -> bool {
    let Some(decoded) = function.instructions.get(index) else { return true };
    let instruction = &decoded.instruction;
    let calls = matches!(instruction.flow_control(), FlowControl::Call | FlowControl::IndirectCall);
    calls
        || writes(instruction, Register::RAX)
        || (settled == Settled::ReturnValueAndMemory && stores(instruction))
}
