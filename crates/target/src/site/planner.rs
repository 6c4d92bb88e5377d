//! Chooses a placement for every function of the interface that the file defines.

use super::entry::{entry_site, first_instruction, not_five_byte_nop};
use super::exit::{Settled, exit_sites, ret_sites};
use super::inner::{Inner, goes_through, mentions, shared_inner};
use super::{Exit, FunctionPlan, Op, PlacementKind, ResultStyle, Site};
use crate::api::{self, BUILT_ON, FUNCTIONS, LAYERED_ON, WRAPPERS};
use crate::code::{self, Function, decode_one};
use crate::elf::{Machine, Symbol};
use crate::image::Image;

/// Which placements the planner may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Placement {
    /// The cheapest one that is provably right.
    #[default]
    Auto,
    /// Symbol entry and return probe on every exported function: the plain placement, to
    /// compare with, whatever else is to be avoided. Calls that such a function makes of another
    /// one are seen too.
    Entry,
}

/// What the caller knows about the kernel and the targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// See [`Placement`].
    pub placement: Placement,
    /// Use no return probe: this kernel's `uretprobe` system call is killed by the seccomp
    /// filters of some targets (Linux 6.11 to 6.12.13, 6.13.0 to 6.13.2).
    pub avoid_uretprobe: bool,
}

/// Plans all functions of one file.
pub(crate) struct Planner<'i, 'a> {
    image: &'i Image<'a>,
    options: Options,
    plain: bool,
    /// Which exported function sees the calls of which other, because that one calls it.
    bases: Vec<(&'static str, &'static str)>,
    plans: Vec<FunctionPlan>,
    notes: Vec<String>,
}

/// Entry and exit of a function, before it is named.
struct Placed {
    entry: Site,
    exit: Exit,
    placement: PlacementKind,
    why: String,
}

impl<'i, 'a> Planner<'i, 'a> {
    pub(crate) fn new(image: &'i Image<'a>, options: Options) -> Self {
        let plain = options.placement == Placement::Entry || image.elf.machine != Machine::X86_64;
        let bases = if plain { Vec::new() } else { bases(image) };
        Self { image, options, plain, bases, plans: Vec::new(), notes: Vec::new() }
    }

    /// The plans, and what could not be planned.
    pub(crate) fn plan(mut self) -> (Vec<FunctionPlan>, Vec<String>) {
        let plain =
            self.options.placement == Placement::Entry || self.image.elf.machine != Machine::X86_64;
        if !plain {
            for (op, _) in WRAPPERS {
                self.plan_shared(op);
            }
        }
        for function in &FUNCTIONS {
            if !self.plain && self.is_seen_elsewhere(function) {
                continue;
            }
            for symbol in self.image.definitions(function.name) {
                self.plan_exported(function, symbol);
            }
        }
        (self.plans, self.notes)
    }

    /// The internal function behind all wrappers of `op`, if there is one.
    fn plan_shared(&mut self, op: Op) {
        let Some((_, wrappers)) = WRAPPERS.iter().find(|(of, _)| *of == op) else { return };
        if wrappers.iter().all(|w| self.image.definitions(w.name).is_empty()) {
            return;
        }
        let rejected = if self.options.avoid_uretprobe {
            Err("return probes are to be avoided, and its size is not known".to_owned())
        } else {
            shared_inner(self.image, wrappers)
                .map_err(|reason| reason.to_string())
                .and_then(|inner| self.place_shared(op, &inner))
        };
        match rejected {
            Ok(plan) => self.plans.push(plan),
            Err(reason) => {
                let first = wrappers.first().map_or("", |w| w.name);
                self.notes.push(format!("no shared internal function behind {first}: {reason}"));
            }
        }
    }

    fn place_shared(&self, op: Op, inner: &Inner) -> Result<FunctionPlan, String> {
        let peeks = ["SSL_peek", "SSL_peek_ex"];
        if op == Op::Read
            && let Some(name) = peeks.iter().find(|name| mentions(self.image, name, inner.vaddr))
        {
            return Err(format!("{name} calls it too, and would be counted as data"));
        }
        let (at, emulated) = first_instruction(self.image, inner.vaddr)
            .ok_or_else(|| format!("no code at {:#x}", inner.vaddr))?;
        if !emulated {
            return Err(format!("its first instruction at {at:#x} is not emulated"));
        }
        let entry = self.site(at).ok_or_else(|| format!("no code at {at:#x}"))?;
        let mut covers: Vec<String> = inner.covers.iter().map(|name| (*name).to_owned()).collect();
        let wrappers = covers.join(", ");
        for name in inner.covers.iter().flat_map(|name| self.covered_by(name)) {
            if !covers.contains(&name) {
                covers.push(name);
            }
        }
        let register = code::ARGUMENTS
            .get(usize::from(inner.out))
            .map_or_else(String::new, |register| format!("%{register:?}").to_lowercase());
        Ok(FunctionPlan {
            name: format!("inner({:#x}) of {}", inner.vaddr, covers.join(", ")),
            why: format!(
                "every path of {wrappers} reaches this function once with ssl, buf and num \
                 unchanged and the size_t pointer in {register}, or fails without it; it begins \
                 with an emulated {}, where a return probe is allowed",
                entry.instruction
            ),
            covers,
            op,
            result: ResultStyle::OutParam { arg: inner.out + 1 },
            entry,
            exit: Exit::Uretprobe,
            placement: PlacementKind::SharedInner,
        })
    }

    /// True if another plan sees the function's calls, or if seeing them would mislead.
    fn is_seen_elsewhere(&mut self, function: &api::Function) -> bool {
        if self.plans.iter().any(|plan| plan.covers.iter().any(|name| name == function.name)) {
            return true;
        }
        let defined = !self.image.definitions(function.name).is_empty();
        if function.op == Op::Peek && defined {
            return self.read_peeks(function.name);
        }
        self.bases.iter().any(|(caller, _)| *caller == function.name)
    }

    /// Everything whose calls are seen by probing `name`, itself first.
    fn covered_by(&self, name: &str) -> Vec<String> {
        let mut covers = vec![name.to_owned()];
        for _ in 0..MOST_LAYERS {
            for (caller, callee) in &self.bases {
                if covers.iter().any(|name| name == callee)
                    && !covers.iter().any(|name| name == caller)
                {
                    covers.push((*caller).to_owned());
                }
            }
        }
        covers
    }

    fn read_peeks(&mut self, peek: &str) -> bool {
        let peeks = self
            .image
            .definitions(peek)
            .iter()
            .any(|symbol| mentions(self.image, "SSL_read", symbol.vaddr));
        if peeks {
            self.notes.push(format!(
                "{peek}: not probed: SSL_read calls it, so its calls are not peeks of the program"
            ));
        }
        peeks
    }

    fn plan_exported(&mut self, function: &api::Function, symbol: &Symbol) {
        let placed = if self.plain {
            self.place_plain(function, symbol)
        } else {
            self.place_exported(function, symbol)
        };
        match placed {
            Ok(placed) => {
                // Two names of one function get one plan.
                if let Some(alias) = self.plans.iter_mut().find(|plan| plan.entry == placed.entry) {
                    alias.covers.push(function.name.to_owned());
                    return;
                }
                self.plans.push(FunctionPlan {
                    name: function.name.to_owned(),
                    covers: self.covered_by(function.name),
                    op: function.op,
                    result: function.result,
                    entry: placed.entry,
                    exit: placed.exit,
                    placement: placed.placement,
                    why: placed.why,
                });
            }
            Err(reason) => {
                let names = self.covered_by(function.name).join(", ");
                self.notes.push(format!("{names}: not probed: {reason}"));
            }
        }
    }

    fn place_plain(&self, function: &api::Function, symbol: &Symbol) -> Result<Placed, String> {
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

    fn place_exported(&self, function: &api::Function, symbol: &Symbol) -> Result<Placed, String> {
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

    fn site(&self, vaddr: u64) -> Option<Site> {
        let file_offset = self.image.elf.file_offset(vaddr)?;
        let bytes = self.image.elf.code_at(vaddr)?;
        if self.image.elf.machine != Machine::X86_64 {
            let word = u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?);
            let instruction = format!(".inst {word:#010x}");
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

/// The layers that this file's functions make of one another, as `(caller, callee)`.
fn bases(image: &Image<'_>) -> Vec<(&'static str, &'static str)> {
    let mut found: Vec<(&str, &str)> = Vec::new();
    let proofs = [(&LAYERED_ON[..], goes_through as Proof), (&BUILT_ON[..], mentions as Proof)];
    for (table, proof) in proofs {
        for &(caller, callee) in table {
            let known = found.iter().any(|(known, _)| *known == caller);
            let shown = |symbol: &Symbol| proof(image, caller, symbol.vaddr);
            if !known && image.function(callee).is_some_and(shown) {
                found.push((caller, callee));
            }
        }
    }
    found
}

/// Early data on `_ex` on `_ex2` on the plain function.
const MOST_LAYERS: usize = 3;

/// Shows that the named function's calls are seen at the function at this address.
type Proof = fn(&Image<'_>, &str, u64) -> bool;
