//! Plaintext of programs built by Go: the probes that [`Capture::load_go`] has programs for.
//!
//! The programs are in `gotls.h`, and are part of the object of the TLS capture, so that rings, records,
//! connections and everything behind them are the same.

use crate::attach::{Place, Sites};
use crate::error::Error;
use crate::tls::Capture;
use crate::tls::attach::Placed;
use event::Library;
use std::fs::File;

/// What a call means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// `(*Conn).writeRecordLocked`
    Write,
    /// `(*Conn).write`
    Flush,
    /// `(*Conn).Read`
    Read,
    /// `(*Conn).Close`, `(*Conn).serverHandshake`: what the memory was used for before is over.
    End,
    /// `(*Conn).clientHandshake`: the same, unless it is a renegotiation.
    Handshake,
}

/// One function to probe.
#[derive(Debug, Clone)]
pub struct Function {
    /// For reports.
    pub name: String,
    /// What it does.
    pub operation: Operation,
    /// Arguments and results are on the stack.
    pub on_stack: bool,
    /// File offset of the entry's site.
    pub entry: u64,
    /// That site is the branch of the stack check.
    pub at_stack_check: bool,
    /// File offsets of each `ret`, where they are of interest.
    pub exits: Vec<u64>,
    /// There, receiver and slice pointer can be read off the stack.
    pub arguments_at_exit: bool,
    /// The entry is the call of `memmove` in `Read`, and the receiver so far above the stack pointer.
    pub receiver_at_copy: Option<u32>,
}

impl Function {
    /// The layout is described at `enum operation` in `include/record.h`, whose values these are.
    fn cookie(&self, library: usize, function: usize) -> u64 {
        let operation: u64 = match self.operation {
            Operation::Read => 1,
            Operation::Write | Operation::Flush => 2,
            Operation::End => 6,
            Operation::Handshake => 8,
        };
        let flags = flags(self.on_stack, self.at_stack_check, self.arguments_at_exit);
        // Slots on the stack are words; frames of Go functions have less than 64 Ki of them.
        let receiver = u64::from((self.receiver_at_copy.unwrap_or(0) / 8) & 0xffff) << 48;
        library as u64 | (function as u64) << 16 | operation << 32 | flags | receiver
    }
}

/// `GO_ON_STACK`, `GO_STACK_CHECK`, `GO_ARGUMENTS_AT_EXIT` of `abi.h`, in their place in a cookie.
pub(crate) fn flags(on_stack: bool, at_stack_check: bool, arguments_at_exit: bool) -> u64 {
    (u64::from(on_stack) | u64::from(at_stack_check) << 1 | u64::from(arguments_at_exit) << 2) << 40
}

/// A program or library built by Go, and where its probes go.
pub struct Placing<'a> {
    /// What it is called.
    pub library: Library,
    /// The open file.
    pub file: &'a File,
    /// What to probe.
    pub functions: &'a [Function],
}

/// `GO_GENERATION` of `abi.h`, in its place in a cookie.
fn generation_flag(generation: u64) -> u64 {
    (generation & 1) << 47
}

impl Capture {
    /// Attaches to `functions` of the open `file`, built by Go, and returns the file's number. As
    /// [`Capture::attach`] otherwise.
    pub fn attach_go(
        &mut self,
        library: Library,
        file: &File,
        functions: &[Function],
    ) -> Result<usize, Error> {
        let mut placed = Placed::default();
        let whom = Place::pids(self.pids.as_deref(), self.follow_children);
        let placing = Placing { library, file, functions };
        let number = self.place_go(&placing, &whom, self.generation, &mut placed)?;
        self.probes.append(&mut placed.probes);
        self.exit_probes.append(&mut placed.exit_probes);
        Ok(number)
    }

    /// Puts probes into these files and no others: as [`Capture::replace`].
    pub fn replace_go(
        &mut self,
        files: &[Placing<'_>],
        pids: Option<Vec<u32>>,
    ) -> Result<Vec<usize>, Error> {
        self.begin_overlap()?;
        let replaced = self.replace_by(files, pids, Self::place_go);
        self.end_overlap()?;
        replaced
    }

    fn place_go(
        &mut self,
        placing: &Placing<'_>,
        pids: &[i32],
        generation: u64,
        placed: &mut Placed,
    ) -> Result<usize, Error> {
        let Placing { library, file, functions } = placing;
        let names = functions.iter().map(|function| &function.name);
        let numbers = self.number(library, file, names)?;
        let [mut writes, mut flushes, mut copies, mut entries, mut exits, mut ends]: [Sites; 6] =
            Default::default();
        for (index, function) in (numbers.first..).zip(*functions) {
            let cookie = function.cookie(numbers.number, index) | generation_flag(generation);
            match function.operation {
                Operation::Write => writes.push(function.entry, cookie),
                Operation::Flush => flushes.push(function.entry, cookie),
                Operation::End | Operation::Handshake => ends.push(function.entry, cookie),
                Operation::Read if function.receiver_at_copy.is_some() => {
                    copies.push(function.entry, cookie);
                }
                Operation::Read => {
                    // With its arguments on the stack the exit tells everything.
                    if !function.on_stack {
                        entries.push(function.entry, cookie);
                    }
                    for exit in &function.exits {
                        exits.push(*exit, cookie);
                    }
                }
            }
        }
        let place =
            Place { file, path: &library.path, pids: pids.to_vec(), features: self.features };
        for (program, sites) in [
            ("go_end", ends),
            // Before what hands it work.
            ("go_flush", flushes),
            ("go_write", writes),
            ("go_copy", copies),
            ("go_read_entry", entries),
            ("go_read_exit", exits),
        ] {
            let exits = program == "go_read_exit";
            let probes = if exits { &mut placed.exit_probes } else { &mut placed.probes };
            place.attach(&self.program(program)?, &sites, false, probes)?;
        }
        self.take_in(&numbers, library, functions.iter().map(|function| function.name.clone()));
        Ok(numbers.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(operation: Operation) -> Function {
        Function {
            name: String::new(),
            operation,
            on_stack: false,
            entry: 0,
            at_stack_check: false,
            exits: Vec::new(),
            arguments_at_exit: false,
            receiver_at_copy: None,
        }
    }

    #[test]
    fn flags_are_those_of_the_programs() {
        let header = include_str!("abi.h");
        for (name, flags) in [
            ("GO_ON_STACK", flags(true, false, false)),
            ("GO_STACK_CHECK", flags(false, true, false)),
            ("GO_ARGUMENTS_AT_EXIT", flags(false, false, true)),
            ("GO_GENERATION", generation_flag(3)),
        ] {
            let value = flags >> 40;
            assert!(header.contains(&format!("#define {name} {value}")), "{name} is {value}");
        }
    }

    #[test]
    fn operations_are_those_of_the_programs() {
        let header = include_str!("../include/record.h");
        for (name, operation) in [
            ("READ", Operation::Read),
            ("WRITE", Operation::Write),
            ("CLEAR", Operation::End),
            ("HANDSHAKE", Operation::Handshake),
        ] {
            let value = (function(operation).cookie(0, 0) >> 32) & 0xff;
            assert!(header.contains(&format!("OPERATION_{name} = {value},")), "{name} is {value}");
        }
    }

    #[test]
    fn the_cookie_says_where_the_receiver_is_in_words() {
        let copy = Function { receiver_at_copy: Some(0x78), ..function(Operation::Read) };
        assert_eq!(copy.cookie(3, 5), 3 | 5 << 16 | 1 << 32 | 15 << 48);
    }
}
