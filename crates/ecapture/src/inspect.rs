//! `ecapture inspect`: which TLS libraries a file or a process has, what would be probed, and why.

use crate::analysis::{self, Planned, Wanted};
use crate::log;
use anyhow::{Context as _, bail};
use cli::{Format, InspectConfig, InspectTarget};
use discover::{Candidate, Finder, Scope};
use serde::Serialize;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use target::{Exit, KeySource, Placement};

#[derive(Serialize)]
struct Report<'a> {
    path: &'a str,
    version: Option<&'a str>,
    bio_layout: Option<&'a target::BioLayout>,
    #[serde(flatten)]
    analysis: &'a target::Analysis,
}

/// Prints what is found. Exit status 1 if nothing is.
pub(crate) fn run(config: &InspectConfig) -> anyhow::Result<ExitCode> {
    let candidates = candidates(config)?;
    let mut found = 0;
    let mut text = String::new();
    for candidate in candidates {
        let wanted = Wanted { placement: Placement::Auto, text: true, keys: true, version: None };
        match analysis::plan(candidate, &wanted) {
            Ok(planned) => {
                found += 1;
                match config.format {
                    Format::Json => {
                        text += &serde_json::to_string(&report(&planned))?;
                        text.push('\n');
                    }
                    // The command line lets only the two through.
                    Format::Text | Format::Protobuf => describe(&planned, &mut text)?,
                }
            }
            Err(error) => tracing::error!("{}", log::in_one_line(&error)),
        }
    }
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            return Err(error).context("cannot write to standard output");
        }
        _ => {}
    }
    Ok(if found > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn candidates(config: &InspectConfig) -> anyhow::Result<Vec<Candidate>> {
    match &config.target {
        InspectTarget::Path(path) => Ok(vec![discover::given(path)?]),
        InspectTarget::Pid(pid) => {
            if !discover::process::exists(*pid) {
                bail!("there is no process {pid}");
            }
            let scan = Finder::new(target::carries_tls).scan_processes(Scope::Only(&[*pid]));
            if scan.unreadable > 0 {
                bail!("no right to look at process {pid}; run as its user or as root");
            }
            for (path, error) in scan.failed {
                tracing::warn!("cannot look at {}: {error}", path.display());
            }
            if scan.candidates.is_empty() {
                bail!(
                    "process {pid} has no file mapped that defines SSL_read and SSL_write: it uses no \
                     OpenSSL-family library, or a static one without symbols"
                );
            }
            Ok(scan.candidates)
        }
    }
}

fn report(planned: &Planned) -> Report<'_> {
    Report {
        path: &planned.library.path,
        version: planned.version.as_deref(),
        bio_layout: planned.bio.as_ref(),
        analysis: &planned.analysis,
    }
}

fn describe(planned: &Planned, out: &mut String) -> std::fmt::Result {
    let analysis = &planned.analysis;
    writeln!(out, "{}", planned.library.path)?;
    writeln!(out, "  family    {:?}", analysis.family)?;
    writeln!(out, "  version   {}", planned.version.as_deref().unwrap_or("unknown"))?;
    writeln!(out, "  build-id  {}", analysis.build_id.as_deref().unwrap_or("none"))?;
    writeln!(out, "  machine   {:?}", analysis.machine)?;
    writeln!(out, "  functions")?;
    for function in &analysis.functions {
        writeln!(out, "    {}", function.name)?;
        writeln!(out, "      covers  {}", function.covers.join(", "))?;
        let entry = &function.entry;
        writeln!(
            out,
            "      entry   {:#x} `{}`{}",
            entry.vaddr,
            entry.instruction,
            stepping(entry)
        )?;
        match &function.exit {
            Exit::Uretprobe => writeln!(out, "      exit    return probe at the entry")?,
            Exit::NotNeeded => writeln!(out, "      exit    not needed")?,
            Exit::Sites(sites) => {
                for site in sites {
                    writeln!(
                        out,
                        "      exit    {:#x} `{}`{}",
                        site.vaddr,
                        site.instruction,
                        stepping(site)
                    )?;
                }
            }
        }
        writeln!(out, "      why     {}", function.why)?;
    }
    match &analysis.ssl_layout {
        Some(layout) => writeln!(
            out,
            "  layout    SSL.rbio {:#x}, SSL.wbio {:#x}: {}",
            layout.rbio, layout.wbio, layout.derivation
        )?,
        None => writeln!(out, "  layout    SSL: not derived; addresses come from the traffic")?,
    }
    match &planned.bio {
        Some(layout) => {
            writeln!(out, "            BIO.num {:#x}: {}", layout.num, layout.derivation)?;
        }
        None => writeln!(out, "            BIO: not derived; addresses come from the traffic")?,
    }
    match (&analysis.keys, &planned.keys) {
        (Some(plan), Ok(_)) => describe_keys(plan, out)?,
        (_, Err(reason)) => writeln!(out, "  keys      none: {reason}")?,
        (None, Ok(_)) => {}
    }
    for note in &analysis.notes {
        writeln!(out, "  note      {note}")?;
    }
    Ok(())
}

fn describe_keys(plan: &target::KeyPlan, out: &mut String) -> std::fmt::Result {
    writeln!(out, "  keys")?;
    for probe in &plan.probes {
        let entry = &probe.entry;
        writeln!(out, "    {}", probe.name)?;
        writeln!(
            out,
            "      entry   {:#x} `{}`{}",
            entry.vaddr,
            entry.instruction,
            stepping(entry)
        )?;
        match &probe.source {
            KeySource::Logged { label, client_random, secret, secret_len } => writeln!(
                out,
                "      reads   label at argument {label}, client random at {}, secret at argument \
                 {secret}, its length in argument {secret_len}",
                path(client_random)
            )?,
            KeySource::MasterKey { client_random, length, key, version } => writeln!(
                out,
                "      reads   after its return: client random at {}, master key at {}, its \
                 length ({} bytes) at {}, version at {}",
                path(client_random),
                path(key),
                length.1,
                path(&length.0),
                path(version)
            )?,
        }
    }
    for evidence in &plan.evidence {
        writeln!(out, "      why     {evidence}")?;
    }
    Ok(())
}

/// As `argument 0 +0x90 -> +0xb0`.
fn path(address: &target::Address) -> String {
    let steps: Vec<String> = address.steps.iter().map(|step| format!("+{step:#x}")).collect();
    format!("argument {} {}", address.argument, steps.join(" -> ")).trim_end().to_owned()
}

fn stepping(site: &target::Site) -> &'static str {
    if site.emulated { " (emulated by the kernel)" } else { " (single-stepped)" }
}
