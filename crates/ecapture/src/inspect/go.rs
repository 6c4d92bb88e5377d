//! What is said of a program or library built by Go.

use super::stepping;
use crate::go::GoPlanned;
use serde::Serialize;
use std::fmt::Write as _;
use target::{GoAbi, GoAnalysis, Site};

#[derive(Serialize)]
struct Report<'a> {
    path: &'a str,
    family: &'a str,
    #[serde(flatten)]
    analysis: &'a GoAnalysis,
}

/// One line of JSON.
pub(super) fn json(planned: &GoPlanned) -> serde_json::Result<String> {
    let report = Report { path: &planned.library.path, family: "go", analysis: &planned.analysis };
    Ok(serde_json::to_string(&report)? + "\n")
}

/// The same for people.
pub(super) fn describe(planned: &GoPlanned, out: &mut String) -> std::fmt::Result {
    let analysis = &planned.analysis;
    writeln!(out, "{}", planned.library.path)?;
    writeln!(out, "  family    Go: {}", analysis.packages.join(", "))?;
    writeln!(out, "  version   {}", analysis.version.as_deref().unwrap_or("unknown"))?;
    writeln!(out, "  build-id  {}", analysis.build_id.as_deref().unwrap_or("none"))?;
    writeln!(out, "  machine   {:?}", analysis.machine)?;
    let arguments = match analysis.abi {
        GoAbi::Registers => "in registers",
        GoAbi::Stack => "on the stack",
    };
    writeln!(out, "  arguments {arguments}")?;
    writeln!(out, "  functions")?;
    for function in &analysis.functions {
        writeln!(out, "    {}", function.name)?;
        line(out, "entry", &function.entry)?;
        for exit in &function.exits {
            line(out, "exit ", exit)?;
        }
        writeln!(out, "      why     {}", function.why)?;
        if function.arguments_at_exit {
            writeln!(
                out,
                "              its arguments can be read at the exits too: calls that began before \
                 the capture are seen"
            )?;
        }
    }
    writeln!(out, "  keys")?;
    for probe in &analysis.keys.probes {
        writeln!(out, "    {}", probe.name)?;
        line(out, "entry", &probe.entry)?;
        writeln!(out, "      why     {}", probe.why)?;
    }
    if let Err(reason) = &planned.keys {
        writeln!(out, "    none: {reason}")?;
    }
    for note in &analysis.notes {
        writeln!(out, "  note      {note}")?;
    }
    Ok(())
}

fn line(out: &mut String, what: &str, site: &Site) -> std::fmt::Result {
    writeln!(out, "      {what}   {:#x} `{}`{}", site.vaddr, site.instruction, stepping(site))
}
