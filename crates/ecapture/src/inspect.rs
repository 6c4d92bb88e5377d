//! `ecapture inspect`: which TLS libraries a file or a process has, or which shell it is, what would be
//! probed, and why.

mod go;
mod server;

use crate::analysis::{self, Planned, Wanted};
use crate::{database, go as go_plan, log, shell};
use anyhow::{Context as _, bail};
use cli::{Format, InspectConfig, InspectTarget};
use discover::{Candidate, Finder, Scope};
use serde::Serialize;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use target::{Exit, Family, Interface, KeySource, Lines, Object, Placement, Shell};

#[derive(Serialize)]
struct Report<'a> {
    path: &'a str,
    version: Option<&'a str>,
    bio_layout: Option<&'a target::BioLayout>,
    #[serde(flatten)]
    analysis: &'a target::Analysis,
}

#[derive(Serialize)]
struct ShellReport<'a> {
    path: &'a str,
    #[serde(flatten)]
    plan: &'a target::ShellPlan,
}

/// Prints what is found. Exit status 1 if nothing is.
pub(crate) fn run(config: &InspectConfig) -> anyhow::Result<ExitCode> {
    let candidates = candidates(config)?;
    let mut found = 0;
    let mut text = String::new();
    for candidate in candidates {
        match inspect(candidate, config.format) {
            Ok(described) => {
                found += 1;
                // Names come from the file. JSON has no line ends but ours and escapes the rest.
                text += &sink::visible_lines(&described);
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

/// What a file has, of the family that it is.
fn inspect(candidate: Candidate, format: Format) -> anyhow::Result<String> {
    let mut text = String::new();
    if let Some(kind) = database::kind(&candidate) {
        let planned = database::plan(candidate, kind, &target::ServerOptions::default())?;
        return server::describe(&planned, format);
    }
    if let Some(kind) = shell::kind(&candidate) {
        let planned = shell::plan(candidate, kind)?;
        match format {
            Format::Json => text = serde_json::to_string(&shell_report(&planned))? + "\n",
            Format::Text | Format::Protobuf => describe_shell(&planned, &mut text)?,
        }
        return Ok(text);
    }
    let bytes = analysis::read(&candidate.file)
        .with_context(|| format!("cannot read {}", candidate.path.display()))?;
    let interface = Interface::ALL.into_iter().find(|interface| interface.test()(&bytes));
    let is_go = interface.is_none() && target::carries_go(&bytes);
    drop(bytes);
    // If it is none of them, what is missing will be said.
    let interface = interface.unwrap_or(Interface::OpenSsl);
    let wanted =
        Wanted { interface, placement: Placement::Auto, text: true, keys: true, version: None };
    if is_go {
        let planned = go_plan::plan(candidate, Placement::Auto)?;
        match format {
            Format::Json => text = go::json(&planned)?,
            Format::Text | Format::Protobuf => go::describe(&planned, &mut text)?,
        }
    } else {
        let planned = analysis::plan(candidate, &wanted)?;
        match format {
            Format::Json => text = serde_json::to_string(&report(&planned))? + "\n",
            Format::Text | Format::Protobuf => describe(&planned, &mut text)?,
        }
    }
    Ok(text)
}

fn candidates(config: &InspectConfig) -> anyhow::Result<Vec<Candidate>> {
    match &config.target {
        InspectTarget::Path(path) => Ok(vec![discover::given(path)?]),
        InspectTarget::Pid(pid) => {
            if !discover::process::exists(*pid) {
                bail!("there is no process {pid}");
            }
            let scan = Finder::new(carries_anything).scan_processes(Scope::Only(&[*pid]));
            if scan.unreadable > 0 {
                bail!("no right to look at process {pid}; run as its user or as root");
            }
            for (path, error) in scan.failed {
                tracing::warn!("cannot look at {}: {error}", path.display());
            }
            if scan.candidates.is_empty() {
                bail!(
                    "process {pid} has no file mapped that defines SSL_read and SSL_write, \
                     gnutls_record_recv and gnutls_record_send, or SSL_ImportFD, or that Go built: it \
                     uses no library of the OpenSSL family, no GnuTLS and no NSS, or a static one \
                     without symbols; and it is no shell and no database server"
                );
            }
            Ok(scan.candidates)
        }
    }
}

fn carries_anything(bytes: &[u8]) -> bool {
    Interface::ALL.iter().any(|interface| interface.test()(bytes))
        || target::carries_go(bytes)
        || target::carries_mysqld(bytes)
        || target::carries_postgres(bytes)
        || [Shell::Bash, Shell::Zsh].iter().any(|shell| target::is_shell(bytes, *shell))
}

fn shell_report(planned: &shell::Planned) -> ShellReport<'_> {
    ShellReport { path: &planned.library.path, plan: &planned.plan }
}

fn describe_shell(planned: &shell::Planned, out: &mut String) -> std::fmt::Result {
    let plan = &planned.plan;
    writeln!(out, "{}", planned.library.path)?;
    writeln!(out, "  shell     {}", plan.shell.name())?;
    writeln!(out, "  version   {}", plan.version.as_deref().unwrap_or("unknown"))?;
    writeln!(out, "  build-id  {}", plan.build_id.as_deref().unwrap_or("none"))?;
    writeln!(out, "  machine   {:?}", plan.machine)?;
    let site = |what: &str, site: &target::Site, out: &mut String| {
        let (at, text) = (site.vaddr, &site.instruction);
        writeln!(out, "  {what:<9} {at:#x} `{text}`{}", stepping(site))
    };
    match &plan.lines {
        Lines::Calls(calls) => {
            for call in calls {
                site("read", &call.call, out)?;
                site("line", &call.back, out)?;
            }
        }
        Lines::Function(entry) => {
            site("read", entry, out)?;
            writeln!(out, "  line      return probe at the same place")?;
        }
    }
    if let Some(prompt) = &plan.prompt {
        site("prompt", prompt, out)?;
    }
    writeln!(out, "  why       {}", plan.why)?;
    for variable in [plan.status, plan.line_count, plan.executing].into_iter().flatten() {
        writeln!(out, "  variable  {} at {:#x}", variable.name, variable.vaddr)?;
    }
    for note in &plan.notes {
        writeln!(out, "  note      {note}")?;
    }
    Ok(())
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
        if !function.covers.is_empty() {
            writeln!(out, "      covers  {}", function.covers.join(", "))?;
        }
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
    describe_layout(planned, out)?;
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

fn describe_layout(planned: &Planned, out: &mut String) -> std::fmt::Result {
    let analysis = &planned.analysis;
    match (analysis.family, &analysis.transport) {
        (Family::GnuTls, Some(transport)) => {
            return writeln!(
                out,
                "  layout    session.descriptor {:#x}: {}",
                transport.descriptor, transport.derivation
            );
        }
        (Family::GnuTls | Family::Nss, _) => {
            if let Object::Behind(offset) = analysis.object {
                writeln!(
                    out,
                    "  layout    the connection is what PRFileDesc+{offset:#x} points to"
                )?;
            }
            return writeln!(out, "  layout    descriptor: addresses come from the traffic");
        }
        _ => {}
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
