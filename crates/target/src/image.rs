//! One ELF file with its names resolved: addresses of the functions that are asked for, and
//! the function that a direct call, a PLT stub or a GOT slot leads to.

use crate::Error;
use crate::code::{Decoded, decode_one};
use crate::elf::{Dynamic, Elf, GotSymbols, Machine, StaticSymbols, Symbol};
use iced_x86::{Code, Instruction, OpKind, Register};
use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};

/// Where a call or tail jump goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Callee {
    /// A function of this file.
    Local(u64),
    /// A function of another file.
    Imported(String),
    /// Through a register or memory: not known before run time.
    Unknown,
}

/// The file, its dynamic segment and the symbols looked up in it.
#[derive(Debug)]
pub(crate) struct Image<'a> {
    pub(crate) elf: Elf<'a>,
    pub(crate) dynamic: Dynamic,
    got: OnceCell<GotSymbols>,
    exported: OnceCell<HashSet<u64>>,
    symbols: HashMap<String, Vec<Symbol>>,
}

/// Versioned symbols have two or three definitions.
const MOST_DEFINITIONS: usize = 8;

/// Functions that do not return: a path that calls one ends there.
const NO_RETURN: [&str; 7] = [
    "__stack_chk_fail",
    "abort",
    "exit",
    "_exit",
    "__assert_fail",
    "OPENSSL_die",
    "__fortify_fail",
];

impl<'a> Image<'a> {
    /// Parses `bytes` and looks up `names` in them: dynamic symbols first, `.symtab` for those
    /// the dynamic symbols don't define.
    pub(crate) fn new(bytes: &'a [u8], names: &[&str]) -> Result<Self, Error> {
        let elf = Elf::parse(bytes)?;
        let dynamic = Dynamic::read(&elf);
        let mut image = Self {
            elf,
            dynamic,
            got: OnceCell::new(),
            exported: OnceCell::new(),
            symbols: HashMap::new(),
        };
        let names: Vec<&str> = names.iter().chain(&NO_RETURN).copied().collect();
        let mut missing = Vec::new();
        for name in names {
            let found = image.dynamic.lookup(&image.elf, name);
            if found.is_empty() {
                missing.push(name);
            } else {
                image.symbols.insert(name.to_owned(), found);
            }
        }
        if let Some(table) = StaticSymbols::of(&image.elf) {
            for (name, symbol) in table.lookup(&missing) {
                image.symbols.entry(name.to_owned()).or_default().push(symbol);
            }
        }
        for found in image.symbols.values_mut() {
            found.sort_unstable_by_key(|symbol| symbol.vaddr);
            found.dedup_by_key(|symbol| symbol.vaddr);
            found.truncate(MOST_DEFINITIONS);
        }
        Ok(image)
    }

    /// Every definition of `name`, lowest address first.
    pub(crate) fn definitions(&self, name: &str) -> &[Symbol] {
        self.symbols.get(name).map_or(&[], Vec::as_slice)
    }

    /// The one definition of `name`; none if there are several at different addresses.
    pub(crate) fn function(&self, name: &str) -> Option<&Symbol> {
        let (first, rest) = self.definitions(name).split_first()?;
        rest.iter().all(|symbol| symbol.vaddr == first.vaddr).then_some(first)
    }

    /// The address and size of each variable of `names`, if it is defined once.
    pub(crate) fn variables(&self, names: &[&'static str]) -> HashMap<&'static str, Symbol> {
        let mut found = self.dynamic.objects(&self.elf, names);
        if found.is_empty()
            && let Some(table) = StaticSymbols::of(&self.elf)
        {
            found = table.objects(names);
        }
        let once = |name: &str| found.iter().filter(|(other, _)| *other == name).count() == 1;
        found.iter().filter(|(name, _)| once(name)).cloned().collect()
    }

    /// The addresses of all exported functions, ascending.
    pub(crate) fn exported_functions(&self) -> Vec<u64> {
        let mut all: Vec<u64> = self.dynamic.function_addresses(&self.elf).into_iter().collect();
        all.sort_unstable();
        all
    }

    /// True if an exported function starts at `vaddr`, so that a jump there is a tail call and
    /// not part of the function that jumps. Symbols of `.symtab` don't count: the blocks that
    /// compilers move out of a function (`SSL_free.cold`) have one.
    pub(crate) fn is_exported_function(&self, vaddr: u64) -> bool {
        let exported = self.exported.get_or_init(|| self.dynamic.function_addresses(&self.elf));
        exported.contains(&vaddr)
    }

    /// The callee of a `call` or `jmp` instruction, PLT stubs seen through.
    pub(crate) fn callee(&self, instruction: &Instruction) -> Callee {
        match instruction.op0_kind() {
            OpKind::NearBranch64 => self.through_plt(instruction.near_branch_target()),
            OpKind::Memory => self.through_got(instruction),
            _ => Callee::Unknown,
        }
    }

    fn through_plt(&self, target: u64) -> Callee {
        if self.elf.machine != Machine::X86_64 {
            return Callee::Local(target);
        }
        let mut at = target;
        for _ in 0..2 {
            let Some(Decoded { instruction, .. }) = decode_one(&self.elf, at) else { break };
            if instruction.code() == Code::Jmp_rm64 && instruction.op0_kind() == OpKind::Memory {
                return match self.through_got(&instruction) {
                    Callee::Unknown => Callee::Local(target),
                    known => known,
                };
            }
            if instruction.code() != Code::Endbr64 {
                break;
            }
            at = instruction.next_ip();
        }
        Callee::Local(target)
    }

    fn through_got(&self, instruction: &Instruction) -> Callee {
        if instruction.memory_base() != Register::RIP {
            return Callee::Unknown;
        }
        self.in_got(instruction.ip_rel_memory_address())
    }

    /// The function whose address the loader puts into a slot.
    pub(crate) fn in_got(&self, slot: u64) -> Callee {
        let got = self.got.get_or_init(|| GotSymbols::read(&self.elf, &self.dynamic));
        match got.symbol(slot).and_then(|index| self.dynamic.by_index(&self.elf, index)) {
            Some((_, Some(vaddr))) => Callee::Local(vaddr),
            Some((name, None)) => Callee::Imported(name.to_owned()),
            None => Callee::Unknown,
        }
    }

    /// True if a call of `callee` never comes back.
    pub(crate) fn never_returns(&self, callee: &Callee) -> bool {
        match callee {
            Callee::Imported(name) => NO_RETURN.contains(&name.as_str()),
            Callee::Local(vaddr) => NO_RETURN
                .iter()
                .any(|name| self.definitions(name).iter().any(|symbol| symbol.vaddr == *vaddr)),
            Callee::Unknown => false,
        }
    }
}
