//! `ecapture doctor`: can capture work here, and if not, what to do.

use crate::analysis::{self, Wanted};
use ::doctor::Library;
use anyhow::Context as _;
use discover::{Candidate, Finder, Scope};
use std::io::Write as _;
use std::process::ExitCode;
use target::Placement;

/// Prints the report. Exit status 1 if capture cannot work.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    let mut finder = Finder::new(target::carries_tls);
    let mut candidates = finder.scan_processes(Scope::All).candidates;
    candidates.append(&mut finder.scan_loader().candidates);
    let libraries: Vec<Library> = candidates.into_iter().map(library).collect();
    let report = ::doctor::run(&libraries);
    match std::io::stdout().write_all(report.to_string().as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            return Err(error).context("cannot write to standard output");
        }
        _ => {}
    }
    Ok(if report.can_capture { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn library(candidate: Candidate) -> Library {
    let path = candidate.path.clone();
    let pids = candidate.pids.clone();
    let wanted = Wanted {
        interface: target::Interface::OpenSsl,
        placement: Placement::Auto,
        text: true,
        keys: false,
        version: None,
    };
    let description = match analysis::plan(candidate, &wanted) {
        Ok(planned) => planned
            .version
            .unwrap_or_else(|| format!("{:?}, version unknown", planned.analysis.family)),
        Err(error) => format!("cannot be captured: {error:#}"),
    };
    Library { path, description, pids }
}
