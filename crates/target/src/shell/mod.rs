//! Where an interactive shell reads command lines, and where it keeps what became of them.
//!
//! - bash (`parse.y`, `eval.c`): `yy_readline_get` calls `readline`, its own or libreadline's, and
//!   keeps what it returns in `current_readline_line`. `read_command` is passed when the command
//!   before has ended; `last_command_exit_value` is `$?`.
//! - zsh (`init.c`, `input.c`): `inputline` calls `zleentry(ZLE_CMD_READ, …)`, which calls the line
//!   editor, built in or in the module `zsh/zle`. `preprompt` is passed when an interactive command
//!   has ended; `lastval` is `$?`.
//!
//! Both export these names: bash for loadable builtins, zsh for its modules.

mod calls;
mod plan;
#[cfg(test)]
mod tests;

pub use plan::{Call, Lines, Shell, ShellPlan, Variable};

use crate::Error;
use crate::code::writes;
use crate::elf::{Dynamic, Elf, StaticSymbols};
use crate::image::Image;
use calls::{Found, calls, site};
use iced_x86::{Code, Instruction, Register};
use memchr::memmem;

/// What names one kind of shell.
struct Names {
    shell: Shell,
    /// Functions or variables by which a file is known: it defines one, and mentions the other.
    defines: &'static str,
    reader: &'static str,
    prompt: Option<&'static str>,
    status: Option<&'static str>,
    line_count: Option<&'static str>,
    executing: Option<&'static str>,
}

const BASH: Names = Names {
    shell: Shell::Bash,
    defines: "read_command",
    reader: "readline",
    prompt: Some("read_command"),
    status: Some("last_command_exit_value"),
    line_count: Some("current_command_line_count"),
    executing: Some("executing"),
};

const ZSH: Names = Names {
    shell: Shell::Zsh,
    defines: "zleentry",
    reader: "zleentry",
    prompt: Some("preprompt"),
    status: Some("lastval"),
    line_count: None,
    executing: None,
};

const READLINE: Names = Names {
    shell: Shell::Readline,
    defines: "readline",
    reader: "readline",
    prompt: None,
    status: None,
    line_count: None,
    executing: None,
};

/// Where bash keeps the line that it got from `readline`.
const BASH_LINE: &str = "current_readline_line";
/// `ZLE_CMD_READ` and `ZLCON_SELECT` in zsh's `zsh.h`.
const ZLE_CMD_READ: u64 = 1;
const ZLCON_SELECT: u64 = 2;

fn names(shell: Shell) -> &'static Names {
    match shell {
        Shell::Bash => &BASH,
        Shell::Zsh => &ZSH,
        Shell::Readline => &READLINE,
    }
}

/// True if the file is this shell: an executable of it, or a library with all of it.
pub fn is_shell(bytes: &[u8], shell: Shell) -> bool {
    let names = names(shell);
    let Ok(elf) = Elf::parse(bytes) else { return false };
    let dynamic = Dynamic::read(&elf);
    let telltale = names.status.or(names.prompt).unwrap_or(names.reader);
    if !dynamic.lookup(&elf, names.defines).is_empty() {
        return dynamic
            .string_table(&elf)
            .is_some_and(|strings| memmem::find(strings, telltale.as_bytes()).is_some());
    }
    StaticSymbols::of(&elf)
        .is_some_and(|table| table.may_define(names.defines) && table.may_define(telltale))
}

/// Plans the probes for a shell.
pub fn analyze_shell(bytes: &[u8], shell: Shell) -> Result<ShellPlan, Error> {
    let names = names(shell);
    let functions: Vec<&str> = [Some(names.reader), names.prompt].into_iter().flatten().collect();
    let image = Image::new(bytes, &functions)?;
    let prompt = names.prompt.and_then(|name| image.function(name));
    if image.function(names.defines).is_none() {
        return Err(Error::NoShellFunctions { shell: shell.name(), function: names.defines });
    }
    let variables = image.variables(
        &[names.status, names.line_count, names.executing, Some(BASH_LINE)]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>(),
    );
    let mut notes = Vec::new();
    let mut variable = |name: Option<&'static str>, what: &str| {
        let name = name?;
        let found = variables.get(name).filter(|symbol| matches!(symbol.size, 4 | 8));
        if found.is_none() {
            notes.push(format!("{name} is not defined as a number: {what}"));
        }
        found.map(|symbol| Variable { name, vaddr: symbol.vaddr, size: symbol.size as u8 })
    };
    let status = variable(names.status, "the exit status is unknown");
    let line_count = variable(names.line_count, "a continued line may count as a new command");
    let executing = variable(names.executing, "input of `read -e` may show as a command");
    if names.prompt.is_some() && prompt.is_none() {
        notes.push("the prompt is not seen: how long a command ran includes the prompt's".into());
    }
    let kept = variables.get(BASH_LINE).map(|symbol| symbol.vaddr);
    let (lines, why) = lines(&image, names, kept)?;
    if matches!(lines, Lines::Function(_)) {
        notes.push("a line that is being typed when the capture begins is not seen".into());
    }
    Ok(ShellPlan {
        shell,
        machine: image.elf.machine,
        build_id: image.elf.build_id(),
        version: version(&image.elf, shell),
        lines,
        prompt: prompt.and_then(|symbol| site(&image, symbol.vaddr)),
        status,
        line_count,
        executing,
        why,
        notes,
    })
}

impl Shell {
    /// As the program is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Zsh => "zsh",
            Self::Readline => "readline",
        }
    }
}

/// The calls that get a command line, or the reading function if they cannot be told.
fn lines(image: &Image<'_>, names: &Names, kept: Option<u64>) -> Result<(Lines, String), Error> {
    let reader = names.reader;
    let all = if names.shell == Shell::Readline { Vec::new() } else { calls(image, reader) };
    let count = all.len();
    let (found, why) = if names.shell == Shell::Bash {
        let (stored, rest): (Vec<Found>, Vec<Found>) =
            all.into_iter().partition(|found| kept.is_some_and(|at| stores(image, found, at)));
        if stored.is_empty() {
            (rest, format!("every call of {reader}"))
        } else {
            (stored, format!("of {count} calls of {reader}, what {BASH_LINE} is set from"))
        }
    } else {
        let found = all.into_iter().filter(reads_command).collect();
        (found, format!("of {count} calls of {reader}, what asks for a command line"))
    };
    let calls: Vec<Call> = found
        .iter()
        .filter_map(|found| {
            Some(Call { call: site(image, found.at)?, back: site(image, found.back)? })
        })
        .collect();
    if !calls.is_empty() {
        return Ok((Lines::Calls(calls), why));
    }
    let missing = Error::NoShellFunctions { shell: names.shell.name(), function: reader };
    let entry = image.function(reader).and_then(|symbol| site(image, symbol.vaddr));
    let entry = entry.ok_or(missing)?;
    Ok((Lines::Function(entry), format!("{reader} and its return: no call of it can be told")))
}

/// True if the instruction after the call keeps its result at `variable`.
fn stores(image: &Image<'_>, found: &Found, variable: u64) -> bool {
    crate::code::decode_one(&image.elf, found.back).is_some_and(|decoded| {
        let instruction = decoded.instruction;
        instruction.code() == Code::Mov_rm64_r64
            && instruction.op1_register() == Register::RAX
            && (instruction.is_ip_rel_memory_operand()
                && instruction.ip_rel_memory_address() == variable
                || instruction.memory_base() == Register::None
                    && instruction.memory_index() == Register::None
                    && instruction.memory_displacement64() == variable)
    })
}

/// True if the first argument is `ZLE_CMD_READ`, and the fifth not the constant of `select`.
fn reads_command(found: &Found) -> bool {
    constant(&found.before, Register::RDI) == Some(ZLE_CMD_READ)
        && constant(&found.before, Register::R8) != Some(ZLCON_SELECT)
}

/// The constant that the last of `instructions` to change `register` gives it.
fn constant(instructions: &[Instruction], register: Register) -> Option<u64> {
    let last = instructions.iter().rev().find(|instruction| writes(instruction, register))?;
    matches!(last.code(), Code::Mov_r32_imm32 | Code::Mov_r64_imm64 | Code::Mov_rm64_imm32)
        .then(|| last.immediate(1))
}

/// `@(#)Bash version 5.2.15(1) release GNU` in bash (`version.c`); zsh has no such string.
fn version(elf: &Elf<'_>, shell: Shell) -> Option<String> {
    const LONGEST: usize = 32;
    if shell != Shell::Bash {
        return None;
    }
    let tag = b"@(#)Bash version ";
    elf.constant_data().find_map(|data| {
        let rest = data.get(memmem::find(data, tag)? + tag.len()..)?;
        let rest = rest.get(..LONGEST).unwrap_or(rest);
        let end = rest.iter().position(|byte| !byte.is_ascii_digit() && *byte != b'.')?;
        Some(String::from_utf8_lossy(rest.get(..end)?).into_owned())
    })
}
