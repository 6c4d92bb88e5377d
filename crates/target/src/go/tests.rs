//! The rules for sites in Go functions, on functions assembled for them.

use super::place::{self, Copy, Entry};
use super::plan::GoAbi;
use crate::code::Function;
use crate::fixture::Fixture;
use crate::image::Image;
use iced_x86::code_asm::{CodeAssembler, *};

/// Decodes a function and hands it to `test`, with the address of another one to call.
fn with(body: impl Fn(&mut CodeAssembler, u64), test: impl Fn(&Function<'_>, u64)) {
    /// The page of the first function of a fixture.
    const OTHER: u64 = 0x2000;
    let elf = Fixture::new()
        .function("SSL_read", |a| a.ret().unwrap())
        .function("SSL_write", |a| body(a, OTHER))
        .elf();
    let image = Image::new(&elf, &["SSL_read", "SSL_write"]).unwrap();
    let other = image.function("SSL_read").unwrap().vaddr;
    assert_eq!(other, OTHER);
    let symbol = image.function("SSL_write").unwrap();
    test(&Function::decode(&image, symbol.vaddr, symbol.size).unwrap(), other);
}

fn mnemonic(function: &Function<'_>, index: usize) -> String {
    format!("{:?}", function.instructions[index].instruction.mnemonic()).to_lowercase()
}

/// The stack check of `go build` for x86-64 from 1.17 on, and `body`.
fn checked(a: &mut CodeAssembler, body: impl Fn(&mut CodeAssembler)) {
    let (mut start, mut more) = (a.create_label(), a.create_label());
    a.set_label(&mut start).unwrap();
    a.cmp(rsp, qword_ptr(r14 + 16)).unwrap();
    a.jbe(more).unwrap();
    body(a);
    a.set_label(&mut more).unwrap();
    a.call(0x1000).unwrap();
    a.jmp(start).unwrap();
}

#[test]
fn the_site_is_behind_the_stack_check_if_that_is_emulated() {
    with(
        |a, _| {
            checked(a, |a| {
                a.push(rbp).unwrap();
                a.sub(rsp, 0x40).unwrap();
                a.add(rsp, 0x40).unwrap();
                a.pop(rbp).unwrap();
                a.ret().unwrap();
            });
        },
        |function, _| {
            assert_eq!(place::abi(function), Some(GoAbi::Registers));
            let Some(Entry::Once(index)) = place::entry(function, 4) else { panic!() };
            assert_eq!(mnemonic(function, index), "push");
        },
    );
}

#[test]
fn else_it_is_the_branch_of_the_check() {
    with(
        |a, _| {
            checked(a, |a| {
                a.sub(rsp, 0x40).unwrap();
                // Emulated, but the stack pointer is not what it was.
                a.push(rbp).unwrap();
                a.pop(rbp).unwrap();
                a.add(rsp, 0x40).unwrap();
                a.ret().unwrap();
            });
        },
        |function, _| {
            let Some(Entry::StackCheck(index)) = place::entry(function, 4) else { panic!() };
            assert_eq!(mnemonic(function, index), "jbe");
        },
    );
}

#[test]
fn an_argument_that_is_gone_ends_the_search() {
    with(
        |a, _| {
            checked(a, |a| {
                a.xor(ebx, ebx).unwrap();
                a.push(rbp).unwrap();
                a.pop(rbp).unwrap();
                a.ret().unwrap();
            });
        },
        |function, _| {
            assert!(matches!(place::entry(function, 2), Some(Entry::StackCheck(_))));
            assert!(matches!(place::entry(function, 1), Some(Entry::Once(_))));
        },
    );
}

#[test]
fn a_function_without_a_stack_check_has_no_site() {
    with(
        |a, _| {
            a.push(rbp).unwrap();
            a.pop(rbp).unwrap();
            a.ret().unwrap();
        },
        |function, _| {
            assert_eq!(place::abi(function), None);
            assert_eq!(place::entry(function, 1), None);
        },
    );
}

/// A function that keeps its arguments and copies to the second of them.
fn copying(a: &mut CodeAssembler, memmove: u64, before_the_call: impl Fn(&mut CodeAssembler)) {
    checked(a, |a| {
        let mut same = a.create_label();
        a.push(rbp).unwrap();
        a.mov(rbp, rsp).unwrap();
        a.sub(rsp, 0x40).unwrap();
        a.mov(qword_ptr(rsp + 0x50), rax).unwrap();
        a.mov(qword_ptr(rsp + 0x58), rbx).unwrap();
        a.mov(rbx, qword_ptr(rax + 8)).unwrap();
        a.mov(rax, qword_ptr(rsp + 0x58)).unwrap();
        a.cmp(rax, rbx).unwrap();
        a.je(same).unwrap();
        before_the_call(a);
        a.call(memmove).unwrap();
        a.set_label(&mut same).unwrap();
        a.add(rsp, 0x40).unwrap();
        a.pop(rbp).unwrap();
        a.ret().unwrap();
    });
}

#[test]
fn the_copy_into_the_slice_is_found_with_its_receiver() {
    with(
        |a, memmove| copying(a, memmove, |_| {}),
        |function, memmove| {
            assert!(place::keeps_home_slots(function));
            let Some(Copy { call, receiver }) = place::copy(function, memmove, GoAbi::Registers)
            else {
                panic!()
            };
            assert_eq!((mnemonic(function, call).as_str(), receiver), ("call", 0x50));
        },
    );
}

#[test]
fn a_copy_to_somewhere_else_is_not_taken_for_it() {
    with(
        |a, memmove| copying(a, memmove, |a| a.mov(rax, qword_ptr(rsp + 0x20)).unwrap()),
        |function, memmove| {
            assert_eq!(place::copy(function, memmove, GoAbi::Registers), None);
        },
    );
}

#[test]
fn of_two_copies_none_is_taken() {
    with(
        |a, memmove| copying(a, memmove, |a| a.call(memmove).unwrap()),
        |function, memmove| {
            assert_eq!(place::copy(function, memmove, GoAbi::Registers), None);
        },
    );
}

#[test]
fn a_slot_that_is_written_again_is_not_relied_on() {
    with(
        |a, memmove| copying(a, memmove, |a| a.mov(qword_ptr(rsp + 0x50), rcx).unwrap()),
        |function, _| assert!(!place::keeps_home_slots(function)),
    );
    with(
        |a, memmove| copying(a, memmove, |a| a.lea(rcx, qword_ptr(rsp + 0x58)).unwrap()),
        |function, _| assert!(!place::keeps_home_slots(function)),
    );
}

/// A file whose pclntab (of this magic) and data behind it are these words.
fn with_table(magic: u8, words: &[u64]) -> Vec<u8> {
    let mut table = vec![magic, 0xff, 0xff, 0xff, 0, 0, 1, 8];
    table.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    table.extend(b"\0crypto/tls.(*Conn).writeRecordLocked\0crypto/tls.(*Conn).Read\0");
    let len = table.len() as u64;
    Fixture::new().bytes("table", table, len).elf()
}

proptest::proptest! {
    #[test]
    fn no_table_does_any_harm(
        magic in proptest::sample::select(vec![0xfb_u8, 0xfa, 0xf0, 0xf1]),
        words in proptest::collection::vec(
            proptest::prop_oneof![
                proptest::num::u64::ANY,
                0..0x200_u64,
                0..0x4000_u64,
                proptest::strategy::Just(u64::MAX),
            ],
            0..40,
        ),
    ) {
        let _ = crate::analyze_go(&with_table(magic, &words), crate::Placement::Auto);
    }
}

#[test]
fn a_table_whose_functions_all_claim_the_same_name_is_given_up_in_time() {
    // Four million functions in a few bytes: each look at one is outside the file.
    let started = std::time::Instant::now();
    let _ = crate::analyze_go(
        &with_table(0xf1, &[1 << 22, 0, 0, 96, 0, 0, 0, 96]),
        crate::Placement::Auto,
    );
    assert!(started.elapsed() < std::time::Duration::from_secs(5));
}
