//! What is to be probed in a shell, and which of its variables tell what. Data only.

use crate::{Machine, Site};
use serde::Serialize;

/// Which shell a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Shell {
    /// GNU bash.
    Bash,
    /// The Z shell.
    Zsh,
    /// GNU readline, for whatever program reads lines with it.
    Readline,
}

/// How the lines are seen that a person enters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Lines {
    /// Where the shell calls the function that reads a line, and the instruction after that, with
    /// the line's address in the return register. Shells that wait at their prompt when the probes
    /// come are seen from the line that they wait for.
    Calls(Vec<Call>),
    /// At the function itself, with a return probe: a line that is being read when the probes come
    /// is not seen.
    Function(Site),
}

/// A call, and where it returns to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Call {
    /// The call instruction.
    pub call: Site,
    /// The instruction after it.
    pub back: Site,
}

/// A variable of the shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// Its address in the file; the program's load address is to be added.
    pub vaddr: u64,
    /// Its size in bytes: 4 or 8.
    pub size: u8,
}

/// The probes for one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShellPlan {
    /// Which shell.
    pub shell: Shell,
    /// Instruction set.
    pub machine: Machine,
    /// GNU build-id, lower-case hex.
    pub build_id: Option<String>,
    /// The version it calls itself in its strings.
    pub version: Option<String>,
    /// Where lines are seen.
    pub lines: Lines,
    /// Passed whenever an interactive command has run to its end, before anything that the shell
    /// does for its prompt.
    pub prompt: Option<Site>,
    /// `$?`
    pub status: Option<Variable>,
    /// How many lines of the command at hand were read: 0 where a new one begins.
    pub line_count: Option<Variable>,
    /// 1 while a command runs: what is read then is input of `read -e`, not a command.
    pub executing: Option<Variable>,
    /// One sentence on where the probes are and why.
    pub why: String,
    /// What could not be done, and why.
    pub notes: Vec<String>,
}
