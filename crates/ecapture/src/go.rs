//! From a file that Go built to what is probed in it.

use crate::analysis::read;
use anyhow::{Context as _, bail};
use discover::Candidate;
use event::Library;
use probe::gotls::{Function, Operation};
use std::fs::File;
use target::{GoAbi, GoAnalysis, GoError, GoFunction, GoOp, PlacementKind};

/// One program or library: what it is, and what to probe.
pub(crate) struct GoPlanned {
    pub(crate) file: File,
    pub(crate) library: Library,
    pub(crate) functions: Vec<Function>,
    pub(crate) analysis: GoAnalysis,
}

/// As [`plan`]; a file in which nothing can be probed is an error.
pub(crate) fn plan_to_attach(candidate: Candidate) -> anyhow::Result<GoPlanned> {
    let planned = plan(candidate)?;
    if planned.functions.is_empty() {
        bail!(
            "{}: none of its functions can be probed: {}",
            planned.library.path,
            planned.analysis.notes.join("; ")
        );
    }
    Ok(planned)
}

/// Analyses `candidate`.
pub(crate) fn plan(candidate: Candidate) -> anyhow::Result<GoPlanned> {
    let path = candidate.path.display().to_string();
    let bytes = read(&candidate.file).with_context(|| format!("cannot read {path}"))?;
    let analysis = target::analyze_go(&bytes).with_context(|| path.clone())?;
    Ok(GoPlanned {
        library: Library { path, build_id: analysis.build_id.clone() },
        functions: analysis.functions.iter().map(|plan| function(plan, analysis.abi)).collect(),
        file: candidate.file,
        analysis,
    })
}

/// True if a file was refused for a reason that is no news: most Go programs do no TLS.
pub(crate) fn does_no_tls(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(GoError::NoTls { .. }))
}

/// Which rule of the planner a function's probes follow.
pub(crate) fn placement(plan: &GoFunction) -> PlacementKind {
    if plan.exits.is_empty() { PlacementKind::EntryOnly } else { PlacementKind::EntryRetSites }
}

fn function(plan: &GoFunction, abi: GoAbi) -> Function {
    Function {
        name: plan.name.clone(),
        operation: match plan.op {
            GoOp::Read => Operation::Read,
            GoOp::WriteRecord => Operation::Write,
            GoOp::ClientHandshake => Operation::Handshake,
            GoOp::Close | GoOp::ServerHandshake => Operation::End,
        },
        on_stack: abi == GoAbi::Stack,
        entry: plan.entry.file_offset,
        at_stack_check: plan.at_stack_check,
        exits: plan.exits.iter().map(|site| site.file_offset).collect(),
        arguments_at_exit: plan.arguments_at_exit,
    }
}
