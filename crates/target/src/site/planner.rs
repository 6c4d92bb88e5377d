//! Which functions to probe: the internal ones behind several exported ones first, then each
//! exported one whose calls are not seen there.

use super::entry::first_instruction;
use super::inner::{Inner, Wrapper, goes_through, mentions, shared_inner};
use super::place::Placer;
use super::{Exit, FunctionPlan, Op, Options, Placement, PlacementKind, ResultStyle};
use crate::api::{self, Table};
use crate::code;
use crate::elf::{Machine, Symbol};
use crate::image::Image;

/// Plans all functions of one file.
pub(crate) struct Planner<'i, 'a> {
    image: &'i Image<'a>,
    interface: &'static Table,
    options: Options,
    plain: bool,
    /// Which exported function sees the calls of which other, because that one calls it.
    bases: Vec<(&'static str, &'static str)>,
    plans: Vec<FunctionPlan>,
    notes: Vec<String>,
}

impl<'i, 'a> Planner<'i, 'a> {
    pub(crate) fn new(image: &'i Image<'a>, interface: &'static Table, options: Options) -> Self {
        let plain = options.placement == Placement::Entry || image.elf.machine != Machine::X86_64;
        let bases = if plain { Vec::new() } else { bases(image, interface) };
        Self { image, interface, options, plain, bases, plans: Vec::new(), notes: Vec::new() }
    }

    /// The plans, and what could not be planned.
    pub(crate) fn plan(mut self) -> (Vec<FunctionPlan>, Vec<String>) {
        let plain =
            self.options.placement == Placement::Entry || self.image.elf.machine != Machine::X86_64;
        if !plain {
            for (op, wrappers) in self.interface.wrappers {
                self.plan_shared(*op, wrappers);
            }
        }
        for function in self.interface.functions {
            if !self.plain && self.is_seen_elsewhere(function) {
                continue;
            }
            for symbol in self.image.definitions(function.name) {
                self.plan_exported(function, symbol);
            }
        }
        (self.plans, self.notes)
    }

    fn placer(&self) -> Placer<'i, 'a> {
        Placer { image: self.image, options: self.options }
    }

    /// The internal function behind all wrappers of `op`, if there is one.
    fn plan_shared(&mut self, op: Op, wrappers: &[Wrapper]) {
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
        let entry = self.placer().site(at).ok_or_else(|| format!("no code at {at:#x}"))?;
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
            self.placer().place_plain(function, symbol)
        } else {
            self.placer().place_exported(function, symbol)
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
}

/// The layers that this file's functions make of one another, as `(caller, callee)`.
fn bases(image: &Image<'_>, interface: &Table) -> Vec<(&'static str, &'static str)> {
    let mut found: Vec<(&str, &str)> = Vec::new();
    let proofs =
        [(interface.layered_on, goes_through as Proof), (interface.built_on, mentions as Proof)];
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
