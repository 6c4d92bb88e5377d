//! The placement of one exported function's probes: the first of these that is provably right.
//!
//! 1. entry and return probe on an emulated first instruction;
//! 2. emulated instructions inside the function, for entry and exits;
//! 3. entry and return probe on a first instruction that is single-stepped;
//! 4. where return probes are to be avoided, the cheapest entry and each `ret`.

use super::entry::{entry_site, first_instruction, not_five_byte_nop};
use super::exit::{Settled, exit_sites, ret_sites};
use super::{Exit, Options, Placement, PlacementKind, ResultStyle, Site};
use crate::api;
use crate::code::{self, Function, decode_one};
use crate::elf::{Machine, Symbol};
use crate::image::Image;

/// Where a function's arguments are in their registers and a return probe may go.
pub(crate) fn first_site(image: &Image<'_>, start: u64) -> Option<Site> {
    let at = match image.elf.machine {
        Machine::X86_64 => first_instruction(image, start)?.0,
        Machine::Aarch64 => start,
    };
    Placer { image, options: Options::default() }.site(at)
}

/// Entry and exit of a function, before it is named.
pub(crate) struct Placed {
    pub(crate) entry: Site,
    pub(crate) exit: Exit,
    pub(crate) placement: PlacementKind,
    pub(crate) why: String,
}

/// Places probes in the functions of one file.
#[derive(Clone, Copy)]
pub(crate) struct Placer<'i, 'a> {
    pub(crate) image: &'i Image<'a>,
    pub(crate) options: Options,
}

impl Placer<'_, '_> {
    /// The symbol entry, and a return probe if the return is of interest.
    pub(crate) fn place_plain(
        &self,
        function: &api::Function,
        symbol: &Symbol,
    ) -> Result<Placed, String> {
        let at = match self.image.elf.machine {
            Machine::X86_64 => not_five_byte_nop(self.image, symbol.vaddr),
            Machine::Aarch64 => Some(symbol.vaddr),
        };
        let entry =
            at.and_then(|at| self.site(at)).ok_or("its symbol points at no code of the file")?;
        let watched = function.result != ResultStyle::None;
        Ok(Placed {
            entry,
            exit: if watched { Exit::Uretprobe } else { Exit::NotNeeded },
            placement: if watched {
                PlacementKind::EntryUretprobe
            } else {
                PlacementKind::EntryOnly
            },
            why: match (self.options.placement, self.image.elf.machine) {
                (Placement::Entry, _) => "the plain placement was asked for".to_owned(),
                (_, Machine::Aarch64) => {
                    "AArch64 gets the plain placement: the symbol entry".to_owned()
                }
                (_, Machine::X86_64) => "the symbol entry".to_owned(),
            },
        })
    }

    /// The cheapest placement in an exported function.
    pub(crate) fn place_exported(
        &self,
        function: &api::Function,
        symbol: &Symbol,
    ) -> Result<Placed, String> {
        let (at, emulated) = first_instruction(self.image, symbol.vaddr)
            .ok_or("its symbol points at no code of the file")?;
        let first = self.site(at).ok_or("its symbol points at no code of the file")?;
        if function.result == ResultStyle::None {
            return Ok(self.place_entry_only(function, symbol, first));
        }
        if emulated && !self.options.avoid_uretprobe {
            let why = format!(
                "begins with an emulated {}, where a return probe is allowed",
                first.instruction
            );
            return Ok(Placed {
                entry: first,
                exit: Exit::Uretprobe,
                placement: PlacementKind::EntryUretprobe,
                why,
            });
        }
        let decoded = Function::decode(self.image, symbol.vaddr, symbol.size);
        let no_jumps = match decoded
            .as_ref()
            .map_err(ToString::to_string)
            .and_then(|decoded| self.place_jumps(function, decoded))
        {
            Ok(placed) => return Ok(placed),
            Err(reason) => reason,
        };
        if !self.options.avoid_uretprobe {
            return Ok(Placed {
                entry: first,
                exit: Exit::Uretprobe,
                placement: PlacementKind::EntryUretprobe,
                why: format!("entry and return probe, because: {no_jumps}"),
            });
        }
        let decoded =
            decoded.map_err(|reason| format!("return probes are to be avoided, and {reason}"))?;
        let rets = ret_sites(&decoded)
            .map_err(|reason| format!("return probes are to be avoided, and {reason}"))?;
        // A `ret` can't come before the entry site: the way to it is a straight line.
        let entry = match entry_site(self.image, &decoded, function.arguments) {
            Ok(index) => self.site_of(&decoded, index)?,
            Err(_) => first,
        };
        Ok(Placed {
            entry,
            exit: Exit::Sites(self.sites(&decoded, &rets)?),
            placement: PlacementKind::EntryRetSites,
            why: format!(
                "entry and each ret, because return probes are to be avoided, and: {no_jumps}"
            ),
        })
    }

    fn place_entry_only(&self, function: &api::Function, symbol: &Symbol, first: Site) -> Placed {
        let site = Function::decode(self.image, symbol.vaddr, symbol.size)
            .map_err(|reason| reason.to_string())
            .and_then(|decoded| {
                let index = entry_site(self.image, &decoded, function.arguments)
                    .map_err(|reason| reason.to_string())?;
                self.site_of(&decoded, index)
            });
        let (entry, why) = match site {
            Ok(site) => {
                let offset = site.vaddr - symbol.vaddr;
                let why = format!("+{offset:#x} is the first emulated instruction, arguments live");
                (site, why)
            }
            Err(reason) => (first, format!("the symbol entry, because: {reason}")),
        };
        Placed { entry, exit: Exit::NotNeeded, placement: PlacementKind::EntryOnly, why }
    }

    fn place_jumps(
        &self,
        function: &api::Function,
        decoded: &Function<'_>,
    ) -> Result<Placed, String> {
        let entry = entry_site(self.image, decoded, function.arguments)
            .map_err(|reason| format!("no entry site: {reason}"))?;
        let settled = match function.result {
            ResultStyle::OutParam { .. } => Settled::ReturnValueAndMemory,
            _ => Settled::ReturnValue,
        };
        let exits =
            exit_sites(decoded, settled).map_err(|reason| format!("no exit sites: {reason}"))?;
        if exits.iter().any(|&exit| exit <= entry) {
            return Err("no exit sites: one would be the entry site".to_owned());
        }
        let site = self.site_of(decoded, entry)?;
        let sites = self.sites(decoded, &exits)?;
        let why = format!(
            "every call passes {} at +{:#x} once with the arguments live, and {} before it \
             returns, with the return value in %rax",
            site.instruction,
            site.vaddr - decoded.start,
            sites
                .iter()
                .map(|exit| format!("{} at +{:#x}", exit.instruction, exit.vaddr - decoded.start))
                .collect::<Vec<_>>()
                .join(" or "),
        );
        Ok(Placed {
            entry: site,
            exit: Exit::Sites(sites),
            placement: PlacementKind::JumpSites,
            why,
        })
    }

    fn sites(&self, decoded: &Function<'_>, indices: &[usize]) -> Result<Vec<Site>, String> {
        indices.iter().map(|&index| self.site_of(decoded, index)).collect()
    }

    fn site_of(&self, decoded: &Function<'_>, index: usize) -> Result<Site, String> {
        decoded
            .instructions
            .get(index)
            .and_then(|decoded| self.site(decoded.instruction.ip()))
            .ok_or_else(|| "a site lies outside the file".to_owned())
    }

    /// The instruction at an address as a probe site.
    pub(crate) fn site(&self, vaddr: u64) -> Option<Site> {
        let file_offset = self.image.elf.file_offset(vaddr)?;
        let bytes = self.image.elf.code_at(vaddr)?;
        if self.image.elf.machine != Machine::X86_64 {
            let word = u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?);
            let instruction = code::word_text(word);
            return Some(Site { file_offset, vaddr, instruction, emulated: false });
        }
        let decoded = decode_one(&self.image.elf, vaddr)?;
        Some(Site {
            file_offset,
            vaddr,
            instruction: code::text(&decoded.instruction),
            emulated: code::is_emulated(decoded.bytes),
        })
    }
}
