//! Puts the programs of any family on sites of a file, in the way that the kernel has.

mod fixed;

use crate::error::Error;
use crate::features::Features;
use libbpf_rs::{Link, ProgramMut, UprobeMultiOpts, UprobeOpts};
use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};

/// Something attached, as long as it is kept.
pub(crate) enum Probe {
    Link { _link: Link },
    Event { _event: OwnedFd },
}

/// File offsets and cookies of the sites of one program.
#[derive(Default)]
pub(crate) struct Sites {
    offsets: Vec<usize>,
    cookies: Vec<u64>,
}

impl Sites {
    pub(crate) fn push(&mut self, offset: u64, cookie: u64) {
        self.offsets.push(offset as usize);
        self.cookies.push(cookie);
    }

    /// The sites of each cookie; those of one were pushed in a row.
    fn by_cookie(&self) -> impl Iterator<Item = (u64, &[usize])> {
        let mut offsets = self.offsets.as_slice();
        self.cookies.chunk_by(|one, other| one == other).filter_map(move |cookies| {
            let (these, rest) = offsets.split_at_checked(cookies.len())?;
            offsets = rest;
            Some((*cookies.first()?, these))
        })
    }
}

/// The file whose code is probed, and in whom.
pub(crate) struct Place<'a> {
    pub(crate) file: &'a File,
    /// For errors.
    pub(crate) path: &'a str,
    /// Processes; -1 is all.
    pub(crate) pids: Vec<i32>,
    pub(crate) features: Features,
}

impl Place<'_> {
    /// Which processes get a breakpoint at all. Children are not known yet when probes are placed, so
    /// following them means all processes.
    pub(crate) fn pids(wanted: Option<&[u32]>, follow_children: bool) -> Vec<i32> {
        match wanted {
            Some(pids) if !follow_children => pids.iter().map(|pid| *pid as i32).collect(),
            _ => vec![-1],
        }
    }

    /// Attaches `program` to `sites`. What was attached is added to `probes`, even if it fails later.
    pub(crate) fn attach(
        &self,
        program: &ProgramMut<'_>,
        sites: &Sites,
        retprobe: bool,
        probes: &mut Vec<Probe>,
    ) -> Result<(), Error> {
        if sites.offsets.is_empty() {
            return Ok(());
        }
        let failed = |source| Error::Attach {
            what: program.name().to_string_lossy().into_owned(),
            path: self.path.to_owned(),
            source,
        };
        // The link in /proc leads to the open file itself, in whatever mount namespace it is.
        let open = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        let open_name =
            CString::new(open.as_str()).map_err(|nul| failed(std::io::Error::from(nul).into()))?;
        for pid in self.pids.iter().copied() {
            if self.features.multi {
                let opts = UprobeMultiOpts {
                    offsets: sites.offsets.clone(),
                    cookies: sites.cookies.clone(),
                    retprobe,
                    ..Default::default()
                };
                let link = program.attach_uprobe_multi_with_opts(pid, &open, "", opts);
                probes.push(Probe::Link { _link: link.map_err(failed)? });
            } else if self.features.cookie {
                for (offset, cookie) in sites.offsets.iter().zip(&sites.cookies) {
                    let opts = UprobeOpts { cookie: *cookie, retprobe, ..Default::default() };
                    let link = program.attach_uprobe_with_opts(pid, &open, *offset, opts);
                    probes.push(Probe::Link { _link: link.map_err(failed)? });
                }
            } else {
                for (cookie, offsets) in sites.by_cookie() {
                    let events = fixed::attach(program, cookie, retprobe, pid, &open_name, offsets);
                    let events = events.map_err(failed)?.into_iter();
                    probes.extend(events.map(|event| Probe::Event { _event: event }));
                }
            }
        }
        Ok(())
    }
}

/// Closes many probes at once. Each makes the kernel wait some 50 ms until no CPU runs the program any
/// more, and it can wait for all of them together.
pub(crate) fn close_all(probes: &mut Vec<Probe>) {
    const AT_ONCE: usize = 32;
    while !probes.is_empty() {
        std::thread::scope(|scope| {
            for probe in probes.drain(..probes.len().min(AT_ONCE)) {
                scope.spawn(move || drop(probe));
            }
        });
    }
}
