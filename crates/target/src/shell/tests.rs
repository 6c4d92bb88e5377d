//! Shells assembled by hand: one rule each.

use super::{Lines, Shell, analyze_shell, is_shell};
use crate::Error;
use crate::fixture::Fixture;
use iced_x86::code_asm::{CodeAssembler, *};

fn empty(a: &mut CodeAssembler) {
    a.push(rbx).unwrap();
    a.pop(rbx).unwrap();
    a.ret().unwrap();
}

/// A zsh whose only function that calls `zleentry` is `body`, which gets its address.
fn zsh(body: impl FnOnce(&mut CodeAssembler, u64)) -> (Fixture, u64) {
    let fixture = Fixture::new().function("preprompt", empty);
    let zleentry = fixture.next();
    let fixture = fixture.function("zleentry", empty);
    let caller = fixture.next();
    (fixture.function("loop", |a| body(a, zleentry)), caller)
}

fn calls(fixture: &Fixture, shell: Shell) -> Vec<(u64, u64)> {
    match analyze_shell(&fixture.elf(), shell).unwrap().lines {
        Lines::Calls(calls) => {
            calls.iter().map(|call| (call.call.vaddr, call.back.vaddr)).collect()
        }
        Lines::Function(_) => Vec::new(),
    }
}

#[test]
fn of_zles_commands_only_the_one_that_reads_a_line_is_probed() {
    let (fixture, at) = zsh(|a, zleentry| {
        // 5 bytes each: ZLE_CMD_TRASH, then ZLE_CMD_READ with the context in a register.
        a.mov(edi, 3).unwrap();
        a.call(zleentry).unwrap();
        a.mov(r8d, ebx).unwrap();
        a.mov(edi, 1).unwrap();
        a.xor(eax, eax).unwrap();
        a.call(zleentry).unwrap();
        a.mov(rbp, rax).unwrap();
        a.ret().unwrap();
    });
    assert_eq!(calls(&fixture, Shell::Zsh), [(at + 20, at + 25)]);
}

#[test]
fn the_lines_that_select_reads_are_not_probed() {
    let (fixture, _) = zsh(|a, zleentry| {
        a.mov(r8d, 2).unwrap();
        a.mov(edi, 1).unwrap();
        a.call(zleentry).unwrap();
        a.ret().unwrap();
    });
    let plan = analyze_shell(&fixture.elf(), Shell::Zsh).unwrap();
    assert!(matches!(plan.lines, Lines::Function(_)), "{plan:?}");
    assert!(plan.notes.iter().any(|note| note.contains("is not seen")), "{plan:?}");
}

#[test]
fn an_argument_that_may_be_anything_is_not_believed() {
    let (fixture, _) = zsh(|a, zleentry| {
        a.mov(edi, 1).unwrap();
        a.mov(edi, dword_ptr(rbx)).unwrap();
        a.call(zleentry).unwrap();
        a.ret().unwrap();
    });
    assert_eq!(calls(&fixture, Shell::Zsh), []);
}

#[test]
fn without_knowing_where_bash_keeps_its_line_every_call_is_probed() {
    let fixture = Fixture::new().function("read_command", empty);
    let readline = fixture.next();
    let fixture = fixture.function("readline", empty);
    let at = fixture.next();
    let fixture = fixture.function("reader_loop", |a| {
        a.call(readline).unwrap();
        a.call(readline).unwrap();
        a.ret().unwrap();
    });
    assert_eq!(calls(&fixture, Shell::Bash), [(at, at + 5), (at + 5, at + 10)]);
}

#[test]
fn a_program_that_only_has_readline_is_no_bash() {
    let file = Fixture::new().function("readline", empty).elf();
    assert!(!is_shell(&file, Shell::Bash) && is_shell(&file, Shell::Readline));
    assert_eq!(
        analyze_shell(&file, Shell::Bash),
        Err(Error::NoShellFunctions { shell: "bash", function: "read_command" })
    );
    assert!(matches!(
        analyze_shell(&file, Shell::Readline).unwrap().lines,
        Lines::Function(entry) if entry.vaddr == 0x2000
    ));
}
