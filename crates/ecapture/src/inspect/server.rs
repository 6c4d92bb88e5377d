//! What would be probed in a database server.

use super::stepping;
use crate::database::Planned;
use cli::Format;
use serde::Serialize;
use std::fmt::Write as _;
use target::{Place, ServerPlan};

#[derive(Serialize)]
struct Report<'a> {
    path: &'a str,
    #[serde(flatten)]
    plan: &'a ServerPlan,
}

/// The plan for people or for programs.
pub(super) fn describe(planned: &Planned, format: Format) -> anyhow::Result<String> {
    let (path, plan) = (&planned.library.path, &planned.plan);
    let mut out = String::new();
    match format {
        Format::Json => {
            out += &serde_json::to_string(&Report { path, plan })?;
            out.push('\n');
        }
        Format::Text | Format::Protobuf => text(path, plan, &mut out)?,
    }
    Ok(out)
}

fn text(path: &str, plan: &ServerPlan, out: &mut String) -> std::fmt::Result {
    writeln!(out, "{path}")?;
    writeln!(out, "  server    {:?}", plan.server)?;
    writeln!(out, "  version   {}", plan.version.as_deref().unwrap_or("unknown"))?;
    writeln!(out, "  build-id  {}", plan.build_id.as_deref().unwrap_or("none"))?;
    writeln!(out, "  machine   {:?}", plan.machine)?;
    writeln!(out, "  functions")?;
    for probe in &plan.probes {
        let (at, instruction) = (probe.entry.vaddr, &probe.entry.instruction);
        writeln!(out, "    {}", probe.name)?;
        writeln!(out, "      entry   {at:#x} `{instruction}`{}", stepping(&probe.entry))?;
        if probe.returns {
            writeln!(out, "      exit    return probe at the entry")?;
        }
    }
    let layout = &plan.layout;
    for (what, place) in [
        ("connection", layout.connection),
        ("statement", layout.statement),
        ("schema", layout.schema),
        ("user", layout.user),
        ("error", layout.error),
    ] {
        if let Some(Place { through, offset, .. }) = place {
            let through = through.map(|outer| format!("{outer:#x} -> ")).unwrap_or_default();
            writeln!(out, "  session   {what} at {through}{offset:#x}")?;
        }
    }
    if let Some(client) = layout.client {
        writeln!(out, "  variable  MyProcPort at {client:#x}")?;
    }
    for derivation in &layout.derivation {
        writeln!(out, "  why       {derivation}")?;
    }
    for note in &plan.notes {
        writeln!(out, "  note      {note}")?;
    }
    Ok(())
}
