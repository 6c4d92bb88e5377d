//! From a file that Go built to what is probed in it.

use crate::analysis::{Wanted, read};
use crate::keys;
use anyhow::{Context as _, bail};
use discover::Candidate;
use event::Library;
use probe::gotls::{Function, Operation};
use probe::keys::{KeyFunction, Source};
use std::fs::File;
use target::{GoAbi, GoAnalysis, GoError, GoFunction, GoOp, Placement, PlacementKind};

/// One program or library: what it is, and what to probe.
pub(crate) struct GoPlanned {
    pub(crate) file: File,
    pub(crate) library: Library,
    pub(crate) functions: Vec<Function>,
    pub(crate) analysis: GoAnalysis,
    /// The probes for secrets, or why there are none.
    pub(crate) keys: Result<Vec<KeyFunction>, String>,
}

/// As [`plan`]; a file in which nothing can be probed is an error.
pub(crate) fn plan_to_attach(candidate: Candidate, wanted: &Wanted) -> anyhow::Result<GoPlanned> {
    let planned = plan(candidate, wanted.placement)?;
    if wanted.text && planned.functions.is_empty() {
        bail!(
            "{}: none of its functions can be probed: {}",
            planned.library.path,
            planned.analysis.notes.join("; ")
        );
    }
    Ok(planned)
}

/// Analyses `candidate`.
pub(crate) fn plan(candidate: Candidate, placement: Placement) -> anyhow::Result<GoPlanned> {
    let path = candidate.path.display().to_string();
    let bytes = read(&candidate.file).with_context(|| format!("cannot read {path}"))?;
    let analysis = target::analyze_go(&bytes, placement).with_context(|| path.clone())?;
    Ok(GoPlanned {
        library: Library { path, build_id: analysis.build_id.clone() },
        functions: analysis.functions.iter().map(|plan| function(plan, analysis.abi)).collect(),
        keys: key_functions(&analysis),
        file: candidate.file,
        analysis,
    })
}

fn key_functions(analysis: &GoAnalysis) -> Result<Vec<KeyFunction>, String> {
    let plan = &analysis.keys;
    if plan.probes.is_empty() {
        return Err(format!("writeKeyLog cannot be probed: {}", analysis.notes.join("; ")));
    }
    let source = |at_stack_check| Source::Go { on_stack: plan.abi == GoAbi::Stack, at_stack_check };
    let probes = plan.probes.iter().map(|probe| KeyFunction {
        name: probe.name.clone(),
        entry: probe.entry.file_offset,
        source: source(probe.at_stack_check),
        labels: keys::label_places(&plan.labels, &probe.entry),
    });
    Ok(probes.collect())
}

/// True if a file was refused for a reason that is no news: most Go programs do no TLS.
pub(crate) fn does_no_tls(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(GoError::NoTls { .. }))
}

/// Which rule of the planner a function's probes follow.
pub(crate) fn placement(plan: &GoFunction) -> PlacementKind {
    if plan.receiver_at_copy.is_some() {
        PlacementKind::JumpSites
    } else if plan.exits.is_empty() {
        PlacementKind::EntryOnly
    } else {
        PlacementKind::EntryRetSites
    }
}

fn function(plan: &GoFunction, abi: GoAbi) -> Function {
    Function {
        name: plan.name.clone(),
        operation: match plan.op {
            GoOp::Read => Operation::Read,
            GoOp::WriteRecord => Operation::Write,
            GoOp::WriteCiphertext => Operation::Flush,
            GoOp::ClientHandshake => Operation::Handshake,
            GoOp::Close | GoOp::ServerHandshake => Operation::End,
        },
        on_stack: abi == GoAbi::Stack,
        entry: plan.entry.file_offset,
        at_stack_check: plan.at_stack_check,
        exits: plan.exits.iter().map(|site| site.file_offset).collect(),
        arguments_at_exit: plan.arguments_at_exit,
        receiver_at_copy: plan.receiver_at_copy,
    }
}
