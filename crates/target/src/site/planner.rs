//! Which functions to probe: the internal ones behind several exported ones first, then each
//! exported one whose calls are not seen there.

use super::callers::other_callers;
use super::entry::first_instruction;
use super::inner::{Inner, Wrapper, goes_through, mentions, shared_inner};
use super::place::Placer;
use super::{Exit, FunctionPlan, Op, Options, Placement, PlacementKind, ResultStyle};
use crate::api::{self, Table};
use crate::code;
use crate::elf::{Machine, Symbol};
use crate::image::Image;
use std::ops::Range;

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

    /// The internal function behind all wrappers of `op`, if there is one; else its calls by others
    /// than the wrappers, which are planned by name.
    fn plan_shared(&mut self, op: Op, wrappers: &[Wrapper]) {
        let Some(first) = wrappers.iter().find(|w| !self.image.definitions(w.name).is_empty())
        else {
            return;
        };
        let inner = match shared_inner(self.image, wrappers) {
            Ok(inner) => inner,
            Err(reason) => {
                let first = wrappers.first().unwrap_or(first).name;
                self.notes.push(format!("no shared internal function behind {first}: {reason}"));
                return;
            }
        };
        let rejected = match self.place_shared(op, &inner, Stepped::Refused) {
            Ok(plan) => {
                self.plans.push(plan);
                return;
            }
            Err(reason) => reason,
        };
        let at = inner.vaddr;
        self.notes.push(format!("inner({at:#x}) of {} is not probed: {rejected}", first.name));
        let unseen = match self.place_callers(op, &inner) {
            Ok(plans) => {
                self.plans.extend(plans);
                return;
            }
            Err(reason) => reason,
        };
        match self.place_shared(op, &inner, Stepped::Taken) {
            Ok(plan) => {
                self.notes.push(format!("inner({at:#x}) is probed nevertheless: {unseen}"));
                self.plans.push(plan);
            }
            Err(_) => self.notes.push(format!(
                "inner({at:#x}): what reaches it by no exported function is not seen: {unseen}"
            )),
        }
    }

    fn place_shared(
        &self,
        op: Op,
        inner: &Inner,
        stepped: Stepped,
    ) -> Result<FunctionPlan, String> {
        if self.options.avoid_uretprobe {
            return Err("return probes are to be avoided, and its size is not known".to_owned());
        }
        let peeks = ["SSL_peek", "SSL_peek_ex"];
        if op == Op::Read
            && let Some(name) = peeks.iter().find(|name| mentions(self.image, name, inner.vaddr))
        {
            return Err(format!("{name} calls it too, and would be counted as data"));
        }
        let (at, emulated) = first_instruction(self.image, inner.vaddr)
            .ok_or_else(|| format!("no code at {:#x}", inner.vaddr))?;
        if !emulated && stepped == Stepped::Refused {
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
        let register = out_register(inner);
        let begins = if emulated { "an emulated" } else { "a single-stepped" };
        Ok(FunctionPlan {
            name: format!("inner({:#x}) of {}", inner.vaddr, covers.join(", ")),
            why: format!(
                "every path of {wrappers} reaches this function once with ssl, buf and num \
                 unchanged and the size_t pointer in {register}, or fails without it; it begins \
                 with {begins} {}, where a return probe is allowed",
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

    /// The calls of the internal function that are made in no function of the interface.
    fn place_callers(&self, op: Op, inner: &Inner) -> Result<Vec<FunctionPlan>, String> {
        let known: Vec<Range<u64>> = self
            .interface
            .functions
            .iter()
            .flat_map(|function| self.image.definitions(function.name))
            .map(|symbol| symbol.vaddr..symbol.vaddr.saturating_add(symbol.size))
            .collect();
        let callers =
            other_callers(self.image, inner.vaddr, &known).map_err(|reason| reason.to_string())?;
        let register = out_register(inner);
        callers
            .iter()
            .map(|caller| {
                let site = |at| self.placer().site(at).ok_or_else(|| format!("no code at {at:#x}"));
                let (entry, exit) = (site(caller.entry)?, site(caller.exit)?);
                Ok(FunctionPlan {
                    name: format!("call({:#x}) of inner({:#x})", caller.entry, inner.vaddr),
                    covers: Vec::new(),
                    op,
                    result: ResultStyle::OutParam { arg: inner.out + 1 },
                    why: format!(
                        "this call of the function behind {} passes ssl, buf and num, and the \
                         size_t pointer in {register}, and no exported function makes it \
                         (BIO_f_ssl does); {} is passed once behind it, with the result in %rax",
                        inner.covers.join(", "),
                        exit.instruction
                    ),
                    entry,
                    exit: Exit::Sites(vec![exit]),
                    placement: PlacementKind::CallSite,
                })
            })
            .collect()
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

/// Whether a shared function may be probed where the kernel has to single-step.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stepped {
    Refused,
    Taken,
}

fn out_register(inner: &Inner) -> String {
    code::ARGUMENTS
        .get(usize::from(inner.out))
        .map_or_else(String::new, |register| format!("%{register:?}").to_lowercase())
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
