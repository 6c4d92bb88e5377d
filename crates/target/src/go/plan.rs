//! From a file to the plan of its probes.

use super::names::{KEY_LOG, MEMMOVE, METHODS, offset_of, packages};
use super::pclntab::{Entry, Pclntab};
use super::relocation::Relocations;
use super::{GoError, aarch64, buildinfo, place};
use crate::code::Function;
use crate::elf::Machine;
use crate::image::Image;
use crate::keys::label::{self, KeyLabel};
use crate::site::{Options, Placement, Placer, Site, ret_sites};
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
    /// `(*Conn).write(data)`: the next piece of its ciphertext is about to be sent.
    WriteCiphertext,
    /// `(*Conn).Read(b)`, which returns how much of `b` it filled.
    Read,
    /// `(*Conn).Close()`.
    Close,
    /// `(*Conn).clientHandshake(…)`: a connection begins, unless it is a renegotiation.
    ClientHandshake,
    /// `(*Conn).serverHandshake(…)`: a connection begins.
    ServerHandshake,
}

impl GoOp {
    /// How many words of arguments are read at the entry.
    fn arguments(self) -> usize {
        match self {
            Self::WriteRecord => 4,
            Self::WriteCiphertext => 3,
            Self::Read => 2,
            Self::Close | Self::ClientHandshake | Self::ServerHandshake => 1,
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
    /// Of `Read`, instead of all that: the entry is the call of `memmove` that copies what was
    /// received into the program's buffer. Its arguments are the buffer, the plaintext and the
    /// length; the receiver is on the stack, so many bytes above the stack pointer.
    pub receiver_at_copy: Option<u32>,
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
    /// As in [`KeyPlan`](crate::KeyPlan).
    #[serde(skip)]
    pub labels: Vec<KeyLabel>,
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
    /// One sentence on how this is known.
    pub why: String,
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

/// Analyses the bytes of a program or library built by Go. With [`Placement::Entry`] calls are seen
/// where they begin and end, whatever there is in between.
pub fn analyze_go(bytes: &[u8], placement: Placement) -> Result<GoAnalysis, GoError> {
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
        let methods = METHODS.iter().map(|(method, op)| (*method, Some(*op)));
        for (method, op) in methods.chain([(KEY_LOG, None)]) {
            let name = format!("{package}.{method}");
            if let Some(offset) = offset_of(names, &name) {
                wanted.push((offset, name, op));
            }
        }
    }
    let memmove = offset_of(names, MEMMOVE);
    let offsets: Vec<u64> = wanted.iter().map(|(offset, ..)| *offset).chain(memmove).collect();
    let entries = table.functions_named(&image.elf, &relocations, text, &offsets);
    let memmove = entries.iter().find(|entry| Some(entry.name) == memmove);
    let planner = Planner {
        image: &image,
        abi: abi(&image, &table, &entries),
        memmove: memmove.filter(|_| placement == Placement::Auto).map(|entry| entry.start),
    };
    let (mut functions, mut probes, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    for (offset, name, op) in wanted {
        let mut with_name = entries.iter().filter(|entry| entry.name == offset);
        let placed = match (with_name.next(), with_name.next(), op) {
            (Some(entry), None, Some(op)) => {
                planner.function(&name, op, *entry).map(|function| functions.push(function))
            }
            (Some(entry), None, None) => {
                planner.key_probe(&name, *entry).map(|probe| probes.push(probe))
            }
            _ => Err("there is not exactly one".to_owned()),
        };
        if let Err(reason) = placed {
            notes.push(format!("{name}: not probed: {reason}"));
        }
    }
    Ok(GoAnalysis {
        machine: image.elf.machine,
        build_id: image.elf.build_id(),
        version: buildinfo::version(&image.elf, &relocations),
        abi: planner.abi,
        packages,
        functions,
        keys: GoKeyPlan { abi: planner.abi, labels: label::counted(&image.elf), probes },
        notes,
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
    /// Its address, if calls of it may be probed.
    memmove: Option<u64>,
}

/// An entry site, whether it is a stack check's branch, and why it is right.
type Begin = (Site, bool, String);

impl Planner<'_, '_> {
    fn function(&self, name: &str, op: GoOp, entry: Entry) -> Result<GoFunction, String> {
        let (begin, exits, arguments_at_exit) = if self.image.elf.machine == Machine::X86_64 {
            let function = self.decode(entry)?;
            if op == GoOp::Read
                && let Some(planned) = self.copy(name, &function)
            {
                return Ok(planned);
            }
            let (exits, arguments_at_exit) =
                if op == GoOp::Read { self.read_exits(&function)? } else { (Vec::new(), false) };
            (self.begin(&function, op.arguments())?, exits, arguments_at_exit)
        } else {
            let words = self.words(entry)?;
            let exits =
                if op == GoOp::Read { aarch64::rets(entry.start, &words) } else { Vec::new() };
            let exits = exits.into_iter().map(|at| self.site(at)).collect::<Result<_, _>>()?;
            (self.begin_aarch64(entry, &words)?, exits, false)
        };
        let (entry, at_stack_check, why) = begin;
        let name = name.to_owned();
        Ok(GoFunction {
            name,
            op,
            entry,
            at_stack_check,
            exits,
            arguments_at_exit,
            receiver_at_copy: None,
            why,
        })
    }

    /// `Read` by its one call of `memmove`, if that can be shown to be the right one.
    fn copy(&self, name: &str, function: &Function<'_>) -> Option<GoFunction> {
        if !self.keeps_arguments(function) {
            return None;
        }
        let copy = place::copy(function, self.memmove?, self.abi)?;
        let entry = self.site_of(function, copy.call).ok()?;
        let why = format!(
            "{} at +{:#x} calls memmove with the slice's pointer, loaded from where it was kept, as the \
             destination: all that is received passes it once",
            entry.instruction,
            entry.vaddr - function.start
        );
        Some(GoFunction {
            name: name.to_owned(),
            op: GoOp::Read,
            entry,
            at_stack_check: false,
            exits: Vec::new(),
            arguments_at_exit: false,
            receiver_at_copy: Some(u32::try_from(copy.receiver).ok()?),
            why,
        })
    }

    fn keeps_arguments(&self, function: &Function<'_>) -> bool {
        match self.abi {
            GoAbi::Registers => place::keeps_home_slots(function),
            GoAbi::Stack => place::keeps_arguments(function),
        }
    }

    fn key_probe(&self, name: &str, entry: Entry) -> Result<GoKeyProbe, String> {
        /// Receiver, string, two slices.
        const ARGUMENTS: usize = 9;
        let (entry, at_stack_check, why) = if self.image.elf.machine == Machine::X86_64 {
            self.begin(&self.decode(entry)?, ARGUMENTS)?
        } else {
            self.begin_aarch64(entry, &self.words(entry)?)?
        };
        Ok(GoKeyProbe { name: name.to_owned(), entry, at_stack_check, why })
    }

    fn decode(&self, entry: Entry) -> Result<Function<'_>, String> {
        Function::decode(self.image, entry.start, entry.end - entry.start)
            .map_err(|reason| reason.to_string())
    }

    fn begin(&self, function: &Function<'_>, arguments: usize) -> Result<Begin, String> {
        let arguments = if self.abi == GoAbi::Registers { arguments } else { 0 };
        let (index, at_stack_check, passed) = match place::entry(function, arguments) {
            Some(place::Entry::Once(index)) => (index, false, "once, behind the stack check"),
            Some(place::Entry::StackCheck(index)) => (index, true, "as the stack check's branch"),
            None => return Err("it does not begin with a stack check".to_owned()),
        };
        let site = self.site_of(function, index)?;
        let why = format!(
            "every call passes {} at +{:#x} {passed}, with the stack pointer and {arguments} \
             argument registers as they were",
            site.instruction,
            site.vaddr - function.start
        );
        Ok((site, at_stack_check, why))
    }

    /// Each `ret` of `Read`, and whether its arguments can be had there.
    fn read_exits(&self, function: &Function<'_>) -> Result<(Vec<Site>, bool), String> {
        let rets = ret_sites(function).map_err(|reason| reason.to_string())?;
        let arguments = self.keeps_arguments(function);
        if self.abi == GoAbi::Stack && !arguments {
            return Err("it may change its arguments on the stack".to_owned());
        }
        let sites = rets.into_iter().map(|index| self.site_of(function, index));
        Ok((sites.collect::<Result<_, _>>()?, arguments))
    }

    fn words(&self, entry: Entry) -> Result<Vec<u32>, String> {
        if self.abi != GoAbi::Registers {
            return Err("on AArch64 only Go 1.18 and later are known".to_owned());
        }
        let size = usize::try_from(entry.end - entry.start).unwrap_or(usize::MAX);
        let code = self.image.elf.code_at(entry.start).and_then(|code| code.get(..size));
        let code = code.ok_or("it does not lie in an executable segment of the file")?;
        Ok(code.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).collect())
    }

    fn begin_aarch64(&self, entry: Entry, words: &[u32]) -> Result<Begin, String> {
        let index = aarch64::behind_stack_check(words)
            .ok_or("it does not begin with a stack check".to_owned())?;
        let site = self.site(entry.start + 4 * index as u64)?;
        Ok((site, false, "every call passes it once, behind the stack check".to_owned()))
    }

    fn site_of(&self, function: &Function<'_>, index: usize) -> Result<Site, String> {
        let decoded = function.instructions.get(index);
        self.site(decoded.map_or(0, |decoded| decoded.instruction.ip()))
    }

    fn site(&self, vaddr: u64) -> Result<Site, String> {
        Placer { image: self.image, options: Options::default() }
            .site(vaddr)
            .ok_or_else(|| "a site lies outside the file".to_owned())
    }
}
