//! Puts probes on one library file.

use super::{Capture, Layout};
use crate::attach::{Place, Probe, Sites, close_all};
use crate::error::Error;
use crate::record::{MAX_FUNCTIONS, MAX_LIBRARIES, NO_BIO, RawLayout};
use event::Library;
use libbpf_rs::{MapCore, MapFlags};
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

/// What a function does with the connection. Values as in `enum operation` of `include/record.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Operation {
    /// Hands received plaintext to the program.
    Read = 1,
    /// Takes plaintext from the program.
    Write = 2,
    /// Shows received plaintext and leaves it.
    Peek = 3,
    /// Sends from a file.
    Sendfile = 4,
    /// Ends the TLS object.
    Free = 5,
    /// Resets the TLS object for another connection.
    Clear = 6,
    /// Gives the TLS object its descriptor (second argument).
    SetFd = 7,
    /// Forgets the data of a call that was interrupted.
    Discard = 9,
}

/// Where a successful call leaves its byte count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultStyle {
    /// In the return value, if positive.
    ReturnValue,
    /// In the `size_t` that the argument of this number (4 or 5, counted from 1) points to.
    Argument(u8),
    /// In the return value, if positive. A call that `GNUTLS_E_AGAIN` or `GNUTLS_E_INTERRUPTED` ended
    /// has taken its data nevertheless: that is what the next successful call sends.
    Resumable,
    /// In the return value, if positive, and if the fourth argument does not have `PR_MSG_PEEK`.
    UnlessPeek,
    /// In the return value, if positive; the second argument points to a `gnutls_packet_t` with the
    /// data.
    Packet,
    /// Nowhere: its data, and that of calls inside it, counted when it was handed over.
    CountedBefore,
}

/// Where the return of a function is seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// Nowhere: the entry tells enough.
    None,
    /// By a return probe at the entry's site.
    Uretprobe,
    /// At these file offsets, with the return value in place.
    Sites(Vec<u64>),
}

/// One function to probe.
#[derive(Debug, Clone)]
pub struct Function {
    /// For reports.
    pub name: String,
    /// What it does.
    pub operation: Operation,
    /// Where its byte count is.
    pub result: ResultStyle,
    /// 0 if the first argument is the TLS object; else that points to a struct with a pointer to the
    /// object at this offset.
    pub object: u8,
    /// File offset of the entry's site.
    pub entry: u64,
    /// Where its return is seen.
    pub exit: Exit,
}

/// A library and where its probes go.
pub struct Placing<'a> {
    /// What it is called.
    pub library: Library,
    /// The open file.
    pub file: &'a File,
    /// Offsets in its structs.
    pub layout: Layout,
    /// What to probe.
    pub functions: &'a [Function],
}

/// Probes that are in place.
#[derive(Default)]
pub(crate) struct Placed {
    pub(crate) probes: Vec<Probe>,
    pub(crate) exit_probes: Vec<Probe>,
}

/// Puts the probes of one file in place, in these processes, as this generation; gives its number.
type PlaceOne<P> = fn(&mut Capture, &P, &[i32], u64, &mut Placed) -> Result<usize, Error>;

/// Where a library stands in the tables.
pub(crate) struct Numbers {
    pub(crate) number: usize,
    /// Of its first function.
    pub(crate) first: usize,
    identity: (u64, u64),
    is_new: bool,
}

impl Capture {
    /// Attaches to `functions` of the open `file`, and returns the library's number.
    ///
    /// The probes belong to the file: every process that has it mapped, or maps it later, is
    /// covered, unless the capture is limited to processes; then only those are touched.
    pub fn attach(
        &mut self,
        library: Library,
        file: &File,
        layout: Layout,
        functions: &[Function],
    ) -> Result<usize, Error> {
        let mut placed = Placed::default();
        let pids = Place::pids(self.pids.as_deref(), self.follow_children);
        let placing = Placing { library, file, layout, functions };
        let number = self.place(&placing, &pids, self.generation, &mut placed)?;
        self.probes.append(&mut placed.probes);
        self.exit_probes.append(&mut placed.exit_probes);
        Ok(number)
    }

    /// Puts probes into these libraries and no others, in processes `pids`; gives the libraries'
    /// numbers. If that fails, the probes are where they were.
    ///
    /// The new probes are there before the old ones go, and the programs tell the two apart, so that
    /// every call is captured once. Connections go on.
    pub fn replace(
        &mut self,
        libraries: &[Placing<'_>],
        pids: Option<Vec<u32>>,
    ) -> Result<Vec<usize>, Error> {
        self.replace_by(libraries, pids, Self::place)
    }

    /// The same, `place` being what puts the probes of one file in place.
    pub(crate) fn replace_by<P>(
        &mut self,
        files: &[P],
        pids: Option<Vec<u32>>,
        place: PlaceOne<P>,
    ) -> Result<Vec<usize>, Error> {
        // Whom the user names now is wanted without the children.
        let follow = self.follow_children && pids == self.pids;
        let whom = Place::pids(pids.as_deref(), follow);
        let generation = self.generation ^ 1;
        let mut placed = Placed::default();
        let mut numbers = Vec::with_capacity(files.len());
        for file in files {
            match place(self, file, &whom, generation, &mut placed) {
                Ok(number) => numbers.push(number),
                Err(error) => {
                    close_all(&mut placed.exit_probes);
                    close_all(&mut placed.probes);
                    return Err(error);
                }
            }
        }
        self.generation = generation;
        self.pids = pids;
        self.follow_children = follow;
        // Exits before entries, as an exit whose entry was not seen counts as a loss.
        close_all(&mut std::mem::replace(&mut self.exit_probes, placed.exit_probes));
        close_all(&mut std::mem::replace(&mut self.probes, placed.probes));
        Ok(numbers)
    }

    /// The number of a library that is known already, with the number of its first function.
    fn known<'a>(
        &self,
        names: impl Iterator<Item = &'a String>,
        identity: (u64, u64),
    ) -> Option<(usize, usize)> {
        let number = self.placed.iter().position(|known| *known == identity)?;
        let first = self.functions.iter().position(|(owner, _)| *owner == number)?;
        let known = self.functions[first..].iter().take_while(|(owner, _)| *owner == number);
        known.map(|(_, name)| name).eq(names).then_some((number, first))
    }

    /// The numbers of a library and of its first function, if the tables hold so many.
    pub(crate) fn number<'a>(
        &self,
        library: &Library,
        file: &File,
        names: impl ExactSizeIterator<Item = &'a String>,
    ) -> Result<Numbers, Error> {
        let identity = file.metadata().map(|file| (file.dev(), file.ino())).map_err(|source| {
            Error::Attach {
                what: "probes".to_owned(),
                path: library.path.clone(),
                source: source.into(),
            }
        })?;
        let count = names.len();
        let known = self.known(names, identity);
        let (number, first) = known.unwrap_or((self.libraries.len(), self.functions.len()));
        let full = |what, limit| Error::Full { path: library.path.clone(), what, limit };
        if number >= MAX_LIBRARIES {
            return Err(full("libraries", MAX_LIBRARIES));
        }
        if first + count > MAX_FUNCTIONS {
            return Err(full("functions", MAX_FUNCTIONS));
        }
        Ok(Numbers { number, first, identity, is_new: known.is_none() })
    }

    /// Takes in a library that has its probes.
    pub(crate) fn take_in(
        &mut self,
        numbers: &Numbers,
        library: &Library,
        names: impl Iterator<Item = String>,
    ) {
        if numbers.is_new {
            self.functions.extend(names.map(|name| (numbers.number, name)));
            self.libraries.push(Arc::new(library.clone()));
            self.placed.push(numbers.identity);
        }
    }

    fn place(
        &mut self,
        placing: &Placing<'_>,
        pids: &[i32],
        generation: u64,
        placed: &mut Placed,
    ) -> Result<usize, Error> {
        let Placing { library, file, layout, functions } = placing;
        let names = functions.iter().map(|function| &function.name);
        let numbers = self.number(library, file, names)?;
        let (number, first) = (numbers.number, numbers.first);
        self.set_layout(number as u32, *layout)?;

        let [mut entries, mut ends, mut set_fds, mut returns, mut exits]: [Sites; 5] =
            Default::default();
        for (index, function) in (first..).zip(*functions) {
            let cookie = cookie(number, index, function) | generation << 56;
            match function.operation {
                Operation::Free | Operation::Clear | Operation::Discard => {
                    ends.push(function.entry, cookie);
                }
                Operation::SetFd => set_fds.push(function.entry, cookie),
                _ => {
                    entries.push(function.entry, cookie);
                    match &function.exit {
                        Exit::None => {}
                        Exit::Uretprobe => returns.push(function.entry, cookie),
                        Exit::Sites(sites) => {
                            for site in sites {
                                exits.push(*site, cookie);
                            }
                        }
                    }
                }
            }
        }
        let place =
            Place { file, path: &library.path, pids: pids.to_vec(), features: self.features };
        let mut now = Placed::default();
        // Entries first: an exit whose entry was not seen would count as a loss.
        for (program, sites, retprobe) in [
            ("tls_set_fd", set_fds, false),
            ("tls_end", ends, false),
            ("tls_entry", entries, false),
            ("tls_exit", exits, false),
            ("tls_exit", returns, true),
        ] {
            let probes = if program == "tls_exit" { &mut now.exit_probes } else { &mut now.probes };
            place.attach(&self.program(program)?, &sites, retprobe, probes)?;
        }
        placed.probes.append(&mut now.probes);
        placed.exit_probes.append(&mut now.exit_probes);
        self.take_in(&numbers, library, functions.iter().map(|function| function.name.clone()));
        Ok(number)
    }

    fn set_layout(&self, number: u32, layout: Layout) -> Result<(), Error> {
        let known = |offset: Option<u32>| offset.and_then(|o| i32::try_from(o).ok()).unwrap_or(-1);
        let raw = match layout.descriptor {
            Some(_) => RawLayout {
                ssl_rbio: known(layout.descriptor),
                ssl_wbio: known(layout.descriptor),
                bio_num: NO_BIO,
                reserved: 0,
            },
            None => RawLayout {
                ssl_rbio: known(layout.ssl_rbio),
                ssl_wbio: known(layout.ssl_wbio),
                bio_num: known(layout.bio_num),
                reserved: 0,
            },
        };
        self.map("layouts")?
            .update(&number.to_ne_bytes(), &raw.to_bytes(), MapFlags::ANY)
            .map_err(|source| Error::Map { map: "layouts", source })
    }
}

/// The layout is described at `enum operation` in `include/record.h`.
fn cookie(library: usize, function: usize, plan: &Function) -> u64 {
    let result = match plan.result {
        ResultStyle::ReturnValue => 0,
        ResultStyle::Resumable => 1,
        ResultStyle::UnlessPeek => 2,
        ResultStyle::Packet => 3,
        ResultStyle::Argument(number) => u64::from(number),
        ResultStyle::CountedBefore => 6,
    };
    library as u64
        | (function as u64) << 16
        | (plan.operation as u64) << 32
        | result << 40
        | u64::from(plan.object) << 48
}
