//! From a file to the plan of its probes.

use super::names::{METHODS, offset_of, packages};
use super::pclntab::{Entry, Pclntab};
use super::relocation::Relocations;
use super::{GoError, buildinfo, place};
use crate::code::Function;
use crate::elf::Machine;
use crate::image::Image;
use crate::site::{Options, Placer, Site, ret_sites};
use serde::Serialize;

/// Where a Go function has its arguments and results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GoAbi {
    /// In registers, `g` in `%r14` (x28): from Go 1.17 on on x86-64, 1.18 on others.
    Registers,
    /// On the stack, the receiver right above the return address.
    Stack,
}

/// What a call of the function means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GoOp {
    /// `(*Conn).writeRecordLocked(typ, data)`: `data` is about to be sent; plaintext of the
    /// program's if `typ` is 23.
    WriteRecord,
    /// `(*Conn).write(data)`: ciphertext is about to be sent, so its plaintext was just read.
    WriteRaw,
    /// `(*Conn).Read(b)`, which returns how much of `b` it filled.
    Read,
    /// `(*Conn).Close()`.
    Close,
    /// A handshake begins: so does a connection, unless it is a renegotiation.
    Handshake,
    /// `(*Config).writeKeyLog(label, clientRandom, secret)`, called whether or not there is a
    /// writer.
    KeyLog,
}

impl GoOp {
    /// How many words of arguments are read at the entry.
    fn arguments(self) -> usize {
        match self {
            Self::WriteRecord => 4,
            Self::Read => 2,
            Self::WriteRaw | Self::Close | Self::Handshake => 1,
            Self::KeyLog => 9,
        }
    }
}

/// The probes of one function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GoFunction {
    /// Its name, package and all.
    pub name: String,
    /// What a call means.
    pub op: GoOp,
    /// Where its arguments are in their places and the stack pointer is as at the call.
    pub entry: Site,
    /// The entry is the branch (`jbe`) of the stack check: if it is taken, the call begins again on
    /// a larger stack, and will pass it again.
    pub at_stack_check: bool,
    /// Its `ret` instructions, if its result is of interest: results and stack pointer are in
    /// their places.
    pub exits: Vec<Site>,
    /// At the exits the first two words of arguments (receiver and slice pointer) can be read from
    /// the stack, right above the return address.
    pub arguments_at_exit: bool,
    /// One sentence on how this is known.
    pub why: String,
}

/// Where secrets pass. The words of arguments, counted from the receiver, which is 0: label pointer 1
/// and length 2, client random 3 and 4, secret 6 and 7 (5 and 8 are the slices' capacities).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GoKeyPlan {
    /// Where the arguments are.
    pub abi: GoAbi,
    /// The functions.
    pub probes: Vec<GoKeyProbe>,
}

/// One function that sees secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GoKeyProbe {
    /// Its name.
    pub name: String,
    /// Where the arguments are in their places.
    pub entry: Site,
    /// As in [`GoFunction`].
    pub at_stack_check: bool,
}

/// The result of [`analyze_go`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GoAnalysis {
    /// Instruction set.
    pub machine: Machine,
    /// GNU build-id, lower-case hex; Go's own linker writes none unless asked.
    pub build_id: Option<String>,
    /// What the file says of the Go that built it.
    pub version: Option<String>,
    /// The calling convention, by the code.
    pub abi: GoAbi,
    /// The packages that do TLS: `crypto/tls` and forks of it.
    pub packages: Vec<String>,
    /// The probes for plaintext.
    pub functions: Vec<GoFunction>,
    /// The probes for secrets.
    pub keys: GoKeyPlan,
    /// What could not be done, and why.
    pub notes: Vec<String>,
}

/// Analyses the bytes of a program or library built by Go.
pub fn analyze_go(bytes: &[u8]) -> Result<GoAnalysis, GoError> {
    let image = Image::new(bytes, &[])?;
    let table = Pclntab::find(&image.elf).ok_or(GoError::NotGo)?;
    let names = table.names();
    let packages = packages(names);
    if packages.is_empty() {
        return Err(GoError::NoTls { functions: usize::try_from(table.count).unwrap_or(0) });
    }
    let relocations = Relocations::read(&image.elf);
    let text = table.text(&image.elf, &relocations).ok_or(GoError::NoText)?;
    let mut wanted = Vec::new();
    for package in &packages {
        for (method, op) in METHODS {
            let name = format!("{package}.{method}");
            if let Some(offset) = offset_of(names, &name) {
                wanted.push((offset, name, op));
            }
        }
    }
    let offsets: Vec<u64> = wanted.iter().map(|(offset, ..)| *offset).collect();
    let entries = table.functions_named(&image.elf, &relocations, text, &offsets);
    let mut planner =
        Planner { image: &image, abi: abi(&image, &table, &entries), notes: Vec::new() };
    let (mut functions, mut probes) = (Vec::new(), Vec::new());
    for (offset, name, op) in wanted {
        let mut with_name = entries.iter().filter(|entry| entry.name == offset);
        let (Some(entry), None) = (with_name.next(), with_name.next()) else {
            planner.notes.push(format!("{name}: not probed: there is not exactly one"));
            continue;
        };
        match planner.place(&name, op, *entry) {
            Ok(GoFunction { name, entry, at_stack_check, .. }) if op == GoOp::KeyLog => {
                probes.push(GoKeyProbe { name, entry, at_stack_check });
            }
            Ok(function) => functions.push(function),
            Err(reason) => planner.notes.push(format!("{name}: not probed: {reason}")),
        }
    }
    Ok(GoAnalysis {
        machine: image.elf.machine,
        build_id: image.elf.build_id(),
        version: buildinfo::version(&image.elf, &relocations),
        abi: planner.abi,
        packages,
        functions,
        keys: GoKeyPlan { abi: planner.abi, probes },
        notes: planner.notes,
    })
}

/// The convention of the whole file: what the first function with a stack check shows, or, on
/// AArch64, the format of the table, which changed with the convention.
fn abi(image: &Image<'_>, table: &Pclntab<'_>, entries: &[Entry]) -> GoAbi {
    let by_table = if table.has_offsets() { GoAbi::Registers } else { GoAbi::Stack };
    if image.elf.machine != Machine::X86_64 {
        return by_table;
    }
    entries
        .iter()
        .filter_map(|entry| Function::decode(image, entry.start, entry.end - entry.start).ok())
        .find_map(|function| place::abi(&function))
        .unwrap_or(by_table)
}

struct Planner<'i, 'a> {
    image: &'i Image<'a>,
    abi: GoAbi,
    notes: Vec<String>,
}

impl Planner<'_, '_> {
    fn place(&self, name: &str, op: GoOp, entry: Entry) -> Result<GoFunction, String> {
        let size = entry.end - entry.start;
        if self.image.elf.machine != Machine::X86_64 {
            return self.place_aarch64(name, op, entry);
        }
        let function =
            Function::decode(self.image, entry.start, size).map_err(|reason| reason.to_string())?;
        let arguments = if self.abi == GoAbi::Registers { op.arguments() } else { 0 };
        let exits = if op == GoOp::Read {
            ret_sites(&function).map_err(|reason| reason.to_string())?
        } else {
            Vec::new()
        };
        let arguments_at_exit = op == GoOp::Read
            && match self.abi {
                GoAbi::Registers => place::keeps_home_slots(&function),
                GoAbi::Stack => place::keeps_arguments(&function),
            };
        if self.abi == GoAbi::Stack && op == GoOp::Read && !arguments_at_exit {
            return Err("it may change its arguments on the stack".to_owned());
        }
        let at = |index: usize| {
            function
                .instructions
                .get(index)
                .and_then(|decoded| self.site(decoded.instruction.ip()))
                .ok_or_else(|| "a site lies outside the file".to_owned())
        };
        let (index, at_stack_check, passed) = match place::entry(&function, arguments) {
            Some(place::Entry::Once(index)) => (index, false, "once, behind the stack check"),
            Some(place::Entry::StackCheck(index)) => (index, true, "as the stack check's branch"),
            None => return Err("it does not begin with a stack check".to_owned()),
        };
        let site = at(index)?;
        let why = format!(
            "every call passes {} at +{:#x} {passed}, with the stack pointer and {arguments} \
             argument registers as they were",
            site.instruction,
            site.vaddr - entry.start
        );
        Ok(GoFunction {
            name: name.to_owned(),
            op,
            entry: site,
            at_stack_check,
            exits: exits.into_iter().map(at).collect::<Result<_, _>>()?,
            arguments_at_exit,
            why,
        })
    }

    /// The instruction behind the stack check, and every `ret`. A constant between the instructions
    /// could look like one: a word that an instruction loads as data is none.
    fn place_aarch64(&self, name: &str, op: GoOp, entry: Entry) -> Result<GoFunction, String> {
        const RET: u32 = 0xd65f_03c0;
        /// The check is the function's third to sixth instruction.
        const LONGEST_CHECK: usize = 8;
        if self.abi != GoAbi::Registers {
            return Err("on AArch64 only Go 1.18 and later are known".to_owned());
        }
        let size = usize::try_from(entry.end - entry.start).unwrap_or(usize::MAX);
        let code = self.image.elf.code_at(entry.start).and_then(|code| code.get(..size));
        let words = code.ok_or("it does not lie in an executable segment of the file")?;
        let words: Vec<u32> =
            words.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).collect();
        let constants: Vec<u64> = words
            .iter()
            .enumerate()
            .filter_map(|(index, word)| literal(entry.start + 4 * index as u64, *word))
            .collect();
        let is_constant =
            |at: u64| constants.iter().any(|&constant| at >= constant && at < constant + 16);
        let site = |at| self.site(at).ok_or_else(|| "a site lies outside the file".to_owned());
        let exits = (entry.start..)
            .step_by(4)
            .zip(&words)
            .filter(|(at, word)| op == GoOp::Read && **word == RET && !is_constant(*at))
            .map(|(at, _)| site(at))
            .collect::<Result<_, _>>()?;
        // `b.ls`
        let check = |word: &u32| word & 0xff00_001f == 0x5400_0009;
        let index = words
            .iter()
            .take(LONGEST_CHECK)
            .position(check)
            .ok_or("it does not begin with a stack check")?;
        Ok(GoFunction {
            name: name.to_owned(),
            op,
            entry: site(entry.start + 4 * (index as u64 + 1))?,
            at_stack_check: false,
            exits,
            arguments_at_exit: false,
            why: "behind the stack check, and each ret".to_owned(),
        })
    }

    fn site(&self, vaddr: u64) -> Option<Site> {
        Placer { image: self.image, options: Options::default() }.site(vaddr)
    }
}

/// The address that an AArch64 `ldr (literal)` at `at` loads from.
fn literal(at: u64, word: u32) -> Option<u64> {
    (word & 0x3b00_0000 == 0x1800_0000).then(|| {
        let offset = i64::from(((word << 8) as i32) >> 13) * 4;
        at.wrapping_add_signed(offset)
    })
}
