//! Puts probes on one shell's file.

use super::Capture;
use super::assemble::{File as Attached, Kind};
use super::record::{self, MAX_FILES};
use crate::attach;
use crate::error::Error;
use event::Library;
use libbpf_rs::{MapCore, MapFlags};
use std::fs::File;
use std::sync::Arc;

/// A place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its offset.
    pub offset: u64,
    /// The address that it has in the file.
    pub vaddr: u64,
}

/// Where the lines are seen that a person enters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lines {
    /// At calls of the function that reads a line, and the instructions after them.
    Calls(Vec<(Place, Place)>),
    /// At the function, and its return.
    Function(Place),
}

/// A shell's file: its variables by their addresses in the file, as far as they are known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Variables {
    /// `$?`
    pub status: Option<u64>,
    /// How many lines of the command at hand were read.
    pub line_count: Option<u64>,
    /// 1 while a command runs.
    pub executing: Option<u64>,
}

/// Everything about one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shell {
    /// Which shell it is.
    pub kind: Kind,
    /// Where lines are seen.
    pub lines: Lines,
    /// Passed when a command has ended.
    pub prompt: Option<Place>,
    /// What tells what became of it.
    pub variables: Variables,
}

impl Capture {
    /// Attaches to the open `file` of a shell.
    ///
    /// The probes belong to the file: every process that has it mapped, or maps it later, is
    /// covered, unless the capture is limited to processes; then only those are touched.
    pub fn attach(&mut self, library: Library, file: &File, shell: &Shell) -> Result<(), Error> {
        let number = self.files.len();
        if number >= MAX_FILES {
            return Err(Error::Full { path: library.path, what: "shells", limit: MAX_FILES });
        }
        let Variables { status, line_count, executing } = shell.variables;
        let variables = [status, line_count, executing].map(Option::unwrap_or_default);
        self.map("files")?
            .update(
                &(number as u32).to_ne_bytes(),
                &record::file(variables, shell.kind as u32),
                MapFlags::ANY,
            )
            .map_err(|source| Error::Map { map: "files", source })?;
        let mut sites = Vec::new();
        sites.extend(shell.prompt.map(|at| ("shell_prompt", at, false)));
        match &shell.lines {
            Lines::Calls(calls) => {
                for (call, back) in calls {
                    // Backwards: what is entered while probes are placed is to be seen.
                    sites.push(("shell_line", *back, false));
                    sites.push(("shell_read", *call, false));
                }
            }
            Lines::Function(entry) => {
                sites.push(("shell_line_return", *entry, true));
                sites.push(("shell_read", *entry, false));
            }
        }
        let place = attach::Place {
            file,
            path: &library.path,
            pids: attach::Place::pids(self.pids.as_deref(), self.follow_children),
            features: self.features,
        };
        let mut probes = Vec::new();
        for (program, at, retprobe) in sites {
            let mut sites = attach::Sites::default();
            sites.push(at.offset, number as u64 | at.vaddr << 16);
            place.attach(&self.program(program)?, &sites, retprobe, &mut probes)?;
        }
        self.probes.append(&mut probes);
        self.files.push(Attached { library: Arc::new(library), kind: shell.kind });
        Ok(())
    }
}
