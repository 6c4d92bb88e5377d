//! Tables of methods, put together by hand.

use super::methods::{Method, Methods, NAMES};
use crate::NoMethods;
use crate::fixture::Fixture;
use crate::image::Image;
use iced_x86::code_asm::{CodeAssembler, *};

const TABLE: u64 = 0x10_0000;

/// Where the methods lie: any code of the file will do.
const METHODS: u64 = 0x1000;

/// NSPR linked in: its two functions, then what `body` says, which gets the address of each.
fn library(body: impl Fn(&mut CodeAssembler, u64, u64)) -> Fixture {
    let fixture = Fixture::new();
    let defaults = fixture.next();
    let fixture = fixture.function(NAMES[0], |a| a.ret().unwrap());
    let send_file = fixture.next();
    fixture
        .function(NAMES[1], |a| a.ret().unwrap())
        .function("SSL_ImportFD", |a| a.ret().unwrap())
        .function("ssl_SetupIOMethods", |a| body(a, defaults, send_file))
}

/// Makes one table; `method` says what is at an offset.
fn table(a: &mut CodeAssembler, at: u64, kind: u32, send_file: u64, method: impl Fn(u64) -> u64) {
    a.mov(dword_ptr(at), kind).unwrap();
    for offset in (0x08..=0xa8).step_by(8) {
        a.lea(rdx, qword_ptr(method(offset))).unwrap();
        a.mov(qword_ptr(at + offset), rdx).unwrap();
    }
    a.lea(rcx, qword_ptr(send_file)).unwrap();
    a.mov(qword_ptr(at + 0xf0), rcx).unwrap();
}

fn find(fixture: &Fixture) -> Result<Methods, NoMethods> {
    let bytes = fixture.elf();
    Methods::find(&Image::new(&bytes, &NAMES).unwrap())
}

fn found(kind: u32, change: impl Fn(u64) -> u64) -> Result<Methods, NoMethods> {
    find(&library(|a, defaults, send_file| {
        a.call(defaults).unwrap();
        table(a, TABLE, kind, send_file, |offset| change(METHODS + offset));
        a.ret().unwrap();
    }))
}

#[test]
fn methods_are_those_at_their_places() {
    let methods = found(4, |at| at).unwrap();
    for (method, offset) in [
        (Method::Close, 0x08),
        (Method::Read, 0x10),
        (Method::Write, 0x18),
        (Method::Recv, 0x88),
        (Method::Send, 0x90),
    ] {
        assert_eq!(methods.address(method), METHODS + offset, "{method:?}");
    }
}

#[test]
fn a_table_of_another_type_is_no_layer() {
    assert_eq!(found(2, |at| at), Err(NoMethods::NoTable));
}

#[test]
fn a_method_of_another_file_makes_it_no_table() {
    let outside = |at| if at == METHODS + 0x88 { 0x7000_0000 } else { at };
    assert_eq!(found(4, outside), Err(NoMethods::NoTable));
}

#[test]
fn another_way_to_send_files_makes_it_another_layer() {
    let other = library(|a, defaults, _| {
        a.call(defaults).unwrap();
        table(a, TABLE, 4, METHODS, |offset| METHODS + offset);
        a.ret().unwrap();
    });
    assert_eq!(find(&other), Err(NoMethods::NoTable));
}

#[test]
fn two_tables_that_differ_are_not_believed() {
    let both = library(|a, defaults, send_file| {
        a.call(defaults).unwrap();
        table(a, TABLE, 4, send_file, |offset| METHODS + offset);
        table(a, TABLE + 0x1000, 4, send_file, |offset| METHODS + 1 + offset);
        a.ret().unwrap();
    });
    assert!(matches!(find(&both), Err(NoMethods::SeveralTables(..))));
}

#[test]
fn vectors_carry_two_methods_at_a_time() {
    let vectors = library(|a, defaults, send_file| {
        a.lea(rax, qword_ptr(METHODS + 0x10)).unwrap();
        a.movq(xmm0, rax).unwrap();
        a.lea(rax, qword_ptr(METHODS + 0x18)).unwrap();
        a.movq(xmm1, rax).unwrap();
        a.punpcklqdq(xmm0, xmm1).unwrap();
        // Kept over the call where it does not clobber it.
        a.movaps(xmmword_ptr(rsp), xmm0).unwrap();
        a.call(defaults).unwrap();
        table(a, TABLE, 4, send_file, |offset| METHODS + 0x100 + offset);
        a.movdqa(xmm2, xmmword_ptr(rsp)).unwrap();
        a.movups(xmmword_ptr(TABLE + 0x10), xmm2).unwrap();
        a.ret().unwrap();
    });
    let methods = find(&vectors).unwrap();
    assert_eq!(methods.address(Method::Read), METHODS + 0x10);
    assert_eq!(methods.address(Method::Write), METHODS + 0x18);
    assert_eq!(methods.address(Method::Close), METHODS + 0x108);
}

#[test]
fn what_a_call_may_change_is_not_believed() {
    let clobbered = library(|a, defaults, send_file| {
        a.call(defaults).unwrap();
        a.lea(rcx, qword_ptr(send_file)).unwrap();
        a.call(defaults).unwrap();
        table(a, TABLE, 4, METHODS, |offset| METHODS + offset);
        a.mov(qword_ptr(TABLE + 0xf0), rcx).unwrap();
        a.ret().unwrap();
    });
    assert_eq!(find(&clobbered), Err(NoMethods::NoTable));
}
