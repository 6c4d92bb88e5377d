//! Finds the methods of NSS's TLS layer.
//!
//! The table is made at run time: a copy of NSPR's default methods with libssl's own put over it.
//! So the code that does this is looked up, by its call of `PR_GetDefaultIOMethods`, and followed.
//! What it leaves is believed if it looks like a layer's table in every place that is known: the
//! type, functions of this file where they must be, and NSPR's `PR_EmulateSendFile`, which no other
//! layer uses.

use super::words::{Machine, Word};
use crate::code::decode_one;
use crate::elf::Machine as InstructionSet;
use crate::image::{Callee, Image};
use crate::keys::bounds::Bounds;
use iced_x86::FlowControl;
use std::collections::HashMap;

/// Names to look up.
pub(crate) const NAMES: [&str; 2] = ["PR_GetDefaultIOMethods", SEND_FILE];

const SEND_FILE: &str = "PR_EmulateSendFile";

/// Which method. The values are offsets in a `PRIOMethods` (prio.h), which is part of NSPR's
/// binary interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Close = 0x08,
    Read = 0x10,
    Write = 0x18,
    Recv = 0x88,
    Send = 0x90,
}

/// `PR_DESC_LAYERED`
const LAYERED: u32 = 4;
/// The offset of `sendfile`.
const SENDFILE: u64 = 0xf0;
/// Methods that must be functions of this file, the five above among them: from `close` to `poll`.
const OWN: std::ops::RangeInclusive<u64> = 0x08..=0xa8;

/// The table's functions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Methods {
    /// The code that makes the table.
    pub(crate) set_up: u64,
    functions: [(Method, u64); 5],
}

/// Why the methods were not found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoMethods {
    /// The code is followed on x86-64 only.
    #[error("the code that makes their table can be followed on x86-64 only")]
    Machine,
    /// There is no such code.
    #[error("no code that calls PR_GetDefaultIOMethods makes a table that is like a layer's")]
    NoTable,
    /// There are several.
    #[error("two tables are like a layer's: made at {0:#x} and at {1:#x}")]
    SeveralTables(u64, u64),
}

impl Methods {
    /// Looks for the one table of a layer.
    pub(crate) fn find(image: &Image<'_>) -> Result<Self, NoMethods> {
        if image.elf.machine != InstructionSet::X86_64 {
            return Err(NoMethods::Machine);
        }
        let bounds = Bounds::new(image);
        let mut found: Option<Self> = None;
        for call in calls(image, NAMES[0]) {
            let start = bounds.around(call).map_or(call, |function| function.start);
            for methods in made_by(image, start, call) {
                match &found {
                    Some(known) if known.functions != methods.functions => {
                        return Err(NoMethods::SeveralTables(known.set_up, methods.set_up));
                    }
                    _ => found = Some(methods),
                }
            }
        }
        found.ok_or(NoMethods::NoTable)
    }

    /// Where a method begins.
    pub(crate) fn address(&self, method: Method) -> u64 {
        self.functions.iter().find(|(of, _)| *of == method).map_or(0, |(_, at)| *at)
    }
}

/// The tables that the code around `call` makes. It is followed in a straight line: making a
/// table takes no decisions.
fn made_by(image: &Image<'_>, start: u64, call: u64) -> Vec<Methods> {
    /// A hundred times what it takes.
    const LONGEST: u64 = 0x4000;
    if call.saturating_sub(start) > LONGEST {
        return Vec::new();
    }
    let mut machine = Machine::new(image, SEND_FILE);
    let mut at = start;
    while at < call.saturating_add(LONGEST) {
        let Some(decoded) = decode_one(&image.elf, at) else { break };
        let instruction = &decoded.instruction;
        let leaves = matches!(
            instruction.flow_control(),
            FlowControl::Return
                | FlowControl::UnconditionalBranch
                | FlowControl::IndirectBranch
                | FlowControl::Exception
        );
        if leaves && at > call {
            break;
        }
        if leaves {
            machine.forget();
        } else {
            machine.step(instruction);
        }
        at = instruction.next_ip();
    }
    let tables = machine.ints().filter(|(_, kind)| *kind == LAYERED).map(|(table, _)| table);
    tables.filter_map(|table| methods(image, &machine, table, call)).collect()
}

/// The methods in the table at `table`, if it is one.
fn methods(image: &Image<'_>, machine: &Machine<'_, '_>, table: u64, call: u64) -> Option<Methods> {
    if machine.word(table.checked_add(SENDFILE)?) != Word::SendFile {
        return None;
    }
    let own = |offset: u64| match machine.word(table.checked_add(offset)?) {
        Word::Known(at) => image.elf.code_at(at).map(|_| at),
        _ => None,
    };
    if !OWN.step_by(8).all(|offset| own(offset).is_some()) {
        return None;
    }
    let method = |method: Method| Some((method, own(method as u64)?));
    Some(Methods {
        set_up: call,
        functions: [
            method(Method::Close)?,
            method(Method::Read)?,
            method(Method::Write)?,
            method(Method::Recv)?,
            method(Method::Send)?,
        ],
    })
}

/// The addresses of direct calls of a function, in this file or of another one.
fn calls(image: &Image<'_>, name: &str) -> Vec<u64> {
    /// `call rel32`; `call *disp32(%rip)` after 0xff.
    const RELATIVE: u8 = 0xe8;
    const THROUGH: [u8; 2] = [0xff, 0x15];
    const MOST: usize = 256;
    let own: Vec<u64> = image.definitions(name).iter().map(|symbol| symbol.vaddr).collect();
    let is_it = |callee: &Callee| match callee {
        Callee::Local(at) => own.contains(at),
        Callee::Imported(imported) => imported == name,
        Callee::Unknown => false,
    };
    let mut known: HashMap<u64, bool> = HashMap::new();
    let mut found = Vec::new();
    let mut budget = image.elf.bytes.len();
    for segment in image.elf.segments.iter().filter(|segment| segment.executable) {
        let Some(code) = image.elf.slice(segment.offset, segment.file_size) else { continue };
        let Some(left) = budget.checked_sub(code.len()) else { break };
        budget = left;
        let relative = memchr::memchr_iter(RELATIVE, code);
        let through = memchr::memmem::find_iter(code, &THROUGH);
        for at in relative.chain(through) {
            let vaddr = segment.vaddr.wrapping_add(at as u64);
            let Some(decoded) = decode_one(&image.elf, vaddr) else { continue };
            let instruction = &decoded.instruction;
            let target = match instruction.flow_control() {
                FlowControl::Call => instruction.near_branch_target(),
                FlowControl::IndirectCall => instruction.ip_rel_memory_address(),
                _ => continue,
            };
            let hit = known.entry(target).or_insert_with(|| is_it(&image.callee(instruction)));
            if *hit && found.len() < MOST {
                found.push(vaddr);
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}
