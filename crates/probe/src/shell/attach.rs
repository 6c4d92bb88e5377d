//! Puts probes on one shell's file.

use super::assemble::{File as Attached, Kind};
use super::record::{self, MAX_FILES};
use super::{Capture, forget};
use crate::attach::{self, Probe, close_all};
use crate::error::Error;
use event::Library;
use libbpf_rs::{MapCore, MapFlags};
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
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

/// A shell's file and where its probes go.
pub struct Placing<'a> {
    /// What it is called.
    pub library: Library,
    /// The open file.
    pub file: &'a File,
    /// Everything about it.
    pub shell: &'a Shell,
}

impl Capture {
    /// Attaches to a shell's file.
    ///
    /// The probes belong to the file: every process that has it mapped, or maps it later, is
    /// covered, unless the capture is limited to processes; then only those are touched.
    pub fn attach(&mut self, placing: &Placing<'_>) -> Result<(), Error> {
        let whom = attach::Place::pids(self.pids.as_deref(), self.follow_children);
        let mut probes = Vec::new();
        self.place(placing, &whom, self.generation, &mut probes)?;
        self.probes.append(&mut probes);
        Ok(())
    }

    /// Puts probes into these shells and no others, in processes `pids`. If that fails, the probes are where they
    /// were. Each command is captured once: see `include/overlap.h`.
    pub fn replace(&mut self, shells: &[Placing<'_>], pids: Option<Vec<u32>>) -> Result<(), Error> {
        // Whom the user names now is wanted without the children.
        let follow = self.follow_children && pids == self.pids;
        let whom = attach::Place::pids(pids.as_deref(), follow);
        let generation = self.generation ^ 1;
        let filters = self.filters.as_mut().ok_or(Error::Missing("filters"))?;
        filters.begin_overlap(&self.object, generation)?;
        let mut probes = Vec::new();
        let placed: Result<(), Error> = shells
            .iter()
            .try_for_each(|placing| self.place(placing, &whom, generation, &mut probes));
        if placed.is_ok() {
            std::mem::swap(&mut self.probes, &mut probes);
            self.generation = generation;
            self.pids = pids;
            self.follow_children = follow;
        }
        close_all(&mut probes);
        let filters = self.filters.as_mut().ok_or(Error::Missing("filters"))?;
        filters.end_overlap(&self.object)?;
        if placed.is_ok() && !follow {
            forget(&self.object, "shells", self.pids.as_deref(), |key| {
                Some(u32::from_ne_bytes(key.try_into().ok()?))
            })?;
        }
        placed
    }

    fn place(
        &mut self,
        placing: &Placing<'_>,
        pids: &[i32],
        generation: u64,
        probes: &mut Vec<Probe>,
    ) -> Result<(), Error> {
        let Placing { library, file, shell } = placing;
        let metadata = file.metadata().map_err(|source| Error::Attach {
            what: "probes".to_owned(),
            path: library.path.clone(),
            source: source.into(),
        })?;
        let identity = (metadata.dev(), metadata.ino());
        let known = self.placed.iter().position(|(known, is)| *known == identity && is == *shell);
        let number = known.unwrap_or(self.files.len());
        if number >= MAX_FILES {
            let path = library.path.clone();
            return Err(Error::Full { path, what: "shells", limit: MAX_FILES });
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
            pids: pids.to_vec(),
            features: self.features,
        };
        for (program, at, retprobe) in sites {
            let mut sites = attach::Sites::default();
            // No file is so large that its addresses need more than 47 bits.
            let cookie = number as u64 | (at.vaddr << 17 >> 1) | generation << 63;
            sites.push(at.offset, cookie);
            place.attach(&self.program(program)?, &sites, retprobe, probes)?;
        }
        if known.is_none() {
            self.placed.push((identity, (*shell).clone()));
            self.files.push(Attached { library: Arc::new(library.clone()), kind: shell.kind });
        }
        Ok(())
    }
}
