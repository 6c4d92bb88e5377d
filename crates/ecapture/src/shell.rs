//! From a shell's file to what is probed in it.

use crate::analysis::read;
use anyhow::Context as _;
use discover::Candidate;
use event::Library;
use probe::shell::{Kind, Lines, Place, Shell, Variables};
use std::fs::File;
use std::path::PathBuf;
use target::{ShellPlan, Site, Variable};

/// One shell: what it is, what to probe, and how it was found out.
pub(crate) struct Planned {
    pub(crate) file: File,
    pub(crate) library: Library,
    pub(crate) shell: Shell,
    pub(crate) plan: ShellPlan,
}

/// Analyses `candidate` as a shell of this kind.
pub(crate) fn plan(candidate: Candidate, kind: target::Shell) -> anyhow::Result<Box<Planned>> {
    let path = candidate.path.display().to_string();
    let bytes = read(&candidate.file).with_context(|| format!("cannot read {path}"))?;
    let plan = target::analyze_shell(&bytes, kind).with_context(|| path.clone())?;
    Ok(Box::new(Planned {
        file: candidate.file,
        library: Library { path, build_id: plan.build_id.clone() },
        shell: shell(&plan),
        plan,
    }))
}

/// Which shell the file is, if it is one.
pub(crate) fn kind(candidate: &Candidate) -> Option<target::Shell> {
    let bytes = read(&candidate.file).ok()?;
    [target::Shell::Bash, target::Shell::Zsh]
        .into_iter()
        .find(|kind| target::is_shell(&bytes, *kind))
}

fn shell(plan: &ShellPlan) -> Shell {
    let address = |variable: &Option<Variable>| variable.map(|variable| variable.vaddr);
    Shell {
        kind: match plan.shell {
            target::Shell::Bash => Kind::Bash,
            target::Shell::Zsh => Kind::Zsh,
            target::Shell::Readline => Kind::Readline,
        },
        lines: match &plan.lines {
            target::Lines::Calls(calls) => Lines::Calls(
                calls.iter().map(|call| (place(&call.call), place(&call.back))).collect(),
            ),
            target::Lines::Function(entry) => Lines::Function(place(entry)),
        },
        prompt: plan.prompt.as_ref().map(place),
        variables: Variables {
            status: address(&plan.status),
            line_count: address(&plan.line_count),
            executing: address(&plan.executing),
        },
    }
}

fn place(site: &Site) -> Place {
    Place { offset: site.file_offset, vaddr: site.vaddr }
}

/// Where the shell may be installed: what `/etc/shells` and `$SHELL` name, and the usual places.
pub(crate) fn installed(name: &str) -> Vec<PathBuf> {
    let listed = std::fs::read_to_string("/etc/shells").unwrap_or_default();
    let listed = listed.lines().map(str::trim).filter(|line| line.starts_with('/'));
    let usual = ["/bin", "/usr/bin", "/usr/local/bin"];
    let mut paths: Vec<PathBuf> = listed
        .map(PathBuf::from)
        .chain(std::env::var_os("SHELL").map(PathBuf::from))
        .filter(|path| path.file_name().is_some_and(|file| file == name))
        .chain(usual.iter().map(|folder| PathBuf::from(folder).join(name)))
        .collect();
    paths.sort();
    paths.dedup();
    paths
}
