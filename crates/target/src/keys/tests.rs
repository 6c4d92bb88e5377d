//! Assembled libraries, each for one rule of the search.

use super::{Address, KeyError, KeySource, keys};
use crate::fixture::Fixture;
use crate::keys::label::{LABELS, NEEDED};
use iced_x86::code_asm::{CodeAssembler, *};
use iced_x86::{Code, Instruction, MemoryOperand, Register};

/// Where [`library`] puts its strings, one label every 64 bytes.
const STRINGS: u64 = 0x2000;
const STEP: u64 = 0x40;
/// And the function that logs.
const LOG: u64 = 0x3000;

fn label(index: usize) -> u64 {
    STRINGS + index as u64 * STEP
}

fn strings() -> Vec<u8> {
    let mut data = Vec::new();
    for text in LABELS {
        let start = data.len();
        data.extend(text.as_bytes());
        data.resize(start + STEP as usize, 0);
    }
    data
}

/// `lea address(%rip), %to`
fn load(a: &mut CodeAssembler, to: Register, address: u64) {
    let place = MemoryOperand::with_base_displ(Register::RIP, address as i64);
    a.add_instruction(Instruction::with2(Code::Lea_r64_m, to, place).unwrap()).unwrap();
}

/// A library whose third page is `ssl_log_secret` as `log` has it.
fn library(log: impl FnOnce(&mut CodeAssembler)) -> Fixture {
    Fixture::new().bytes("strings", strings(), 0).function("log", log)
}

/// OpenSSL's: `nss_keylog_int(label, ssl, ssl->client_random, 32, secret, length)`.
fn passes_on(a: &mut CodeAssembler) {
    a.mov(rax, rdi).unwrap();
    a.mov(r8, rdx).unwrap();
    a.mov(r9, rcx).unwrap();
    a.mov(rdi, rsi).unwrap();
    a.lea(rdx, qword_ptr(rax + 0x160)).unwrap();
    a.mov(rsi, rax).unwrap();
    a.mov(ecx, 0x20).unwrap();
    a.jmp(0x1000).unwrap();
}

/// A caller for each of these labels.
fn callers(fixture: Fixture, labels: std::ops::Range<usize>) -> Fixture {
    labels.fold(fixture, |fixture, index| {
        fixture.function(&format!("caller {index}"), |a| {
            load(a, Register::RSI, label(index));
            a.call(LOG).unwrap();
            a.ret().unwrap();
        })
    })
}

/// With all there is to find.
pub(crate) fn logging_library() -> Fixture {
    callers(library(passes_on), 0..LABELS.len())
}

fn logged(fixture: &Fixture) -> Result<KeySource, KeyError> {
    let plan = keys(&fixture.elf())?;
    assert_eq!(plan.probes.len(), 1);
    assert_eq!(plan.probes[0].entry.vaddr, LOG);
    Ok(plan.probes[0].source.clone())
}

fn at_0x160() -> KeySource {
    KeySource::Logged {
        label: 1,
        client_random: Address { argument: 0, steps: vec![0x160] },
        secret: 2,
        secret_len: 3,
    }
}

#[test]
fn the_function_that_all_labels_reach_is_found() {
    let fixture = logging_library();
    assert_eq!(logged(&fixture), Ok(at_0x160()));
}

#[test]
fn labels_are_followed_through_branches_moves_and_the_stack() {
    let fixture = library(passes_on).function("caller", |a| {
        let (mut other, mut both) = (a.create_label(), a.create_label());
        a.sub(rsp, 0x28).unwrap();
        load(a, Register::RAX, label(0));
        load(a, Register::RDX, label(1));
        a.test(r8, r8).unwrap();
        a.cmove(rax, rdx).unwrap();
        a.mov(qword_ptr(rsp + 8), rax).unwrap();
        a.test(r9, r9).unwrap();
        a.je(other).unwrap();
        load(a, Register::RAX, label(2));
        a.jmp(both).unwrap();
        a.set_label(&mut other).unwrap();
        load(a, Register::RAX, label(3));
        a.set_label(&mut both).unwrap();
        a.mov(r12, rax).unwrap();
        a.call(0x1000 + 0x800).unwrap();
        a.mov(rsi, qword_ptr(rsp + 8)).unwrap();
        a.call(LOG).unwrap();
        a.mov(rsi, r12).unwrap();
        a.add(rsp, 0x28).unwrap();
        a.jmp(LOG).unwrap();
    });
    assert_eq!(logged(&callers(fixture, 4..5)), Ok(at_0x160()));
}

#[test]
fn a_label_that_is_near_a_call_but_not_its_argument_does_not_count() {
    let fixture = callers(library(passes_on), 0..4).function("caller", |a| {
        load(a, Register::RSI, label(4));
        a.mov(rsi, rdi).unwrap();
        a.call(LOG).unwrap();
        a.ret().unwrap();
    });
    let error = logged(&fixture).unwrap_err();
    assert!(
        matches!(&error, KeyError::NoSink(what) if what.contains("not SERVER_TRAFFIC_SECRET_0")),
        "{error}"
    );
}

#[test]
fn labels_in_a_table_of_pointers_are_found() {
    let all = NEEDED.count_ones() as usize;
    let mut fixture = library(passes_on);
    let table = fixture.next();
    fixture = fixture.bytes("table", vec![0; all * 8], 0);
    for index in 0..all {
        fixture = fixture.relocation(table + index as u64 * 8, label(index));
    }
    fixture = fixture.function("caller", |a| {
        load(a, Register::RAX, table);
        a.mov(rsi, qword_ptr(rax + r8 * 8)).unwrap();
        a.jmp(LOG).unwrap();
    });
    assert_eq!(logged(&fixture), Ok(at_0x160()));
}

#[test]
fn a_program_that_is_not_moved_loads_labels_as_numbers() {
    let fixture = (0..5).fold(library(passes_on), |fixture, index| {
        fixture.function(&format!("caller {index}"), |a| {
            a.mov(esi, label(index) as u32).unwrap();
            a.call(LOG).unwrap();
            a.ret().unwrap();
        })
    });
    let mut program = fixture.elf();
    assert!(keys(&program).is_err(), "numbers are no addresses in a library");
    program[16] = 2;
    assert_eq!(keys(&program).map(|plan| plan.probes[0].source.clone()), Ok(at_0x160()));
}

#[test]
fn a_client_random_that_the_accessor_denies_is_refused() {
    let accessor = |offset: i32| {
        move |a: &mut CodeAssembler| {
            a.mov(rax, rdi).unwrap();
            a.mov(rdi, rsi).unwrap();
            a.lea(rsi, qword_ptr(rax + offset)).unwrap();
            a.jmp(0x1000 + 0x800).unwrap();
        }
    };
    let with = |offset| logging_library().function("SSL_get_client_random", accessor(offset));
    assert_eq!(logged(&with(0x160)), Ok(at_0x160()));
    let error = logged(&with(0x168)).unwrap_err();
    assert!(matches!(error, KeyError::Contradiction { .. }), "{error}");
}

#[test]
fn a_test_for_a_callback_before_the_call_is_refused() {
    let fixture = logging_library()
        .function("SSL_get_SSL_CTX", |a| {
            a.mov(rax, qword_ptr(rdi + 8)).unwrap();
            a.ret().unwrap();
        })
        .function("SSL_CTX_get_keylog_callback", |a| {
            a.mov(rax, qword_ptr(rdi + 0x3f8)).unwrap();
            a.ret().unwrap();
        });
    assert_eq!(logged(&fixture), Ok(at_0x160()));
    let fixture = fixture.function("caller", |a| {
        let mut out = a.create_label();
        a.mov(rax, qword_ptr(rdi + 8)).unwrap();
        a.cmp(qword_ptr(rax + 0x3f8), 0).unwrap();
        a.je(out).unwrap();
        load(a, Register::RSI, label(5));
        a.call(LOG).unwrap();
        a.set_label(&mut out).unwrap();
        a.ret().unwrap();
    });
    let error = logged(&fixture).unwrap_err();
    assert_eq!(error, KeyError::Guarded(LOG));
}

#[test]
fn a_function_that_only_looks_at_labels_is_no_place_for_a_probe() {
    let fixture = callers(
        library(|a| {
            a.mov(rdi, rsi).unwrap();
            a.jmp(0x1000 + 0x800).unwrap();
        }),
        0..8,
    );
    assert!(matches!(logged(&fixture), Err(KeyError::Shape(_))));
}

#[test]
fn a_random_that_is_an_argument_needs_no_offset() {
    let fixture = (0..8).fold(library(|a| a.ret().unwrap()), |fixture, index| {
        fixture.function(&format!("caller {index}"), |a| {
            a.lea(rdx, qword_ptr(rdi + 0x160)).unwrap();
            load(a, Register::RDI, label(index));
            a.mov(ecx, 0x20).unwrap();
            a.call(LOG).unwrap();
            a.ret().unwrap();
        })
    });
    let source = KeySource::Logged {
        label: 0,
        client_random: Address { argument: 2, steps: vec![] },
        secret: 4,
        secret_len: 5,
    };
    assert_eq!(logged(&fixture), Ok(source));
}
