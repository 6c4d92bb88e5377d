//! Entry sites: `SSL_free(ssl)` and `SSL_set_fd(ssl, fd)` need nothing but one.

use super::*;
use crate::fixture::assemble;
use crate::{PlacementKind, Site};

fn entry_of(name: &str, body: impl FnOnce(&mut CodeAssembler)) -> (u64, Site) {
    let fixture = base();
    let at = fixture.next();
    let analysis = plan(&fixture.function(name, body));
    let plan = of(&analysis, name);
    assert_eq!(plan.placement, PlacementKind::EntryOnly);
    assert_eq!(plan.exit, Exit::NotNeeded);
    (plan.entry.vaddr - at, plan.entry.clone())
}

#[test]
fn the_first_emulated_instruction_with_live_arguments_is_the_entry_site() {
    let (offset, site) = entry_of("SSL_free", |a| {
        let mut out = a.create_label();
        a.test(rdi, rdi).unwrap();
        a.je(out).unwrap();
        a.mov(rax, rdi).unwrap();
        a.set_label(&mut out).unwrap();
        a.ret().unwrap();
    });
    assert_eq!((offset, site.emulated), (3, true));
    assert!(site.instruction.starts_with("je"), "{}", site.instruction);
}

#[test]
fn endbr_is_passed_over_for_an_emulated_push() {
    let (offset, site) = entry_of("SSL_free", |a| {
        a.endbr64().unwrap();
        a.push(rbx).unwrap();
        a.pop(rbx).unwrap();
        a.ret().unwrap();
    });
    assert_eq!((offset, site.emulated), (4, true));
}

#[test]
fn a_clobbered_argument_forbids_later_sites() {
    let (offset, site) = entry_of("SSL_free", |a| {
        let mut out = a.create_label();
        a.mov(rax, rdi).unwrap();
        a.xor(edi, edi).unwrap();
        a.test(rax, rax).unwrap();
        a.je(out).unwrap();
        a.inc(rax).unwrap();
        a.set_label(&mut out).unwrap();
        a.ret().unwrap();
    });
    assert_eq!((offset, site.emulated), (0, false));
}

#[test]
fn an_argument_that_the_function_does_not_have_may_be_clobbered() {
    let body = |a: &mut CodeAssembler| {
        let mut out = a.create_label();
        a.xor(esi, esi).unwrap();
        a.test(rdi, rdi).unwrap();
        a.je(out).unwrap();
        a.set_label(&mut out).unwrap();
        a.ret().unwrap();
    };
    assert!(entry_of("SSL_free", body).1.emulated);
    assert!(!entry_of("SSL_set_fd", body).1.emulated);
}

#[test]
fn a_branch_back_between_entry_and_site_forbids_it() {
    let (offset, _) = entry_of("SSL_free", |a| {
        let (mut again, mut out) = (a.create_label(), a.create_label());
        a.mov(rax, rdi).unwrap();
        a.set_label(&mut again).unwrap();
        a.test(rax, rax).unwrap();
        a.je(out).unwrap();
        a.mov(rax, qword_ptr(rax)).unwrap();
        a.jmp(again).unwrap();
        a.set_label(&mut out).unwrap();
        a.ret().unwrap();
    });
    assert_eq!(offset, 0);
}

#[test]
fn a_loop_through_the_entry_forbids_a_later_site() {
    let (offset, _) = entry_of("SSL_free", |a| {
        let (mut again, mut out) = (a.create_label(), a.create_label());
        a.set_label(&mut again).unwrap();
        a.test(rdi, rdi).unwrap();
        a.je(out).unwrap();
        a.mov(rdi, qword_ptr(rdi)).unwrap();
        a.jmp(again).unwrap();
        a.set_label(&mut out).unwrap();
        a.ret().unwrap();
    });
    assert_eq!(offset, 0);
}

#[test]
fn a_block_moved_out_of_the_function_may_not_jump_back_before_the_site() {
    let fixture = base();
    let function = fixture.next();
    let elsewhere = function + 0x1000;
    let moved = |back: u64| {
        move |a: &mut CodeAssembler| {
            a.mov(rdi, qword_ptr(rdi)).unwrap();
            a.jmp(back).unwrap();
        }
    };
    let body = move |a: &mut CodeAssembler| {
        a.test(rdi, rdi).unwrap();
        a.jne(elsewhere).unwrap();
        a.ret().unwrap();
    };
    let ret = function + 9;
    let analysis = plan(&fixture.function("SSL_free", body).internal(moved(ret)));
    assert_eq!(of(&analysis, "SSL_free").entry.vaddr, function + 3, "jumps back to the ret");
    let analysis = plan(&base().function("SSL_free", body).internal(moved(function)));
    assert_eq!(of(&analysis, "SSL_free").entry.vaddr, function, "jumps back to the test");
}

#[test]
fn an_indirect_jump_gives_the_symbol_entry() {
    let (offset, site) = entry_of("SSL_free", |a| {
        let mut out = a.create_label();
        a.test(rdi, rdi).unwrap();
        a.je(out).unwrap();
        a.jmp(rax).unwrap();
        a.set_label(&mut out).unwrap();
        a.ret().unwrap();
    });
    assert_eq!((offset, site.emulated), (0, false));
}

/// `test rdi,rdi; je +0; ret`, then whatever is appended.
fn bytes_plan(tail: &[u8], grow: i64) -> FunctionPlan {
    let fixture = base();
    let mut code = assemble(fixture.next(), |a| {
        let mut out = a.create_label();
        a.test(rdi, rdi).unwrap();
        a.je(out).unwrap();
        a.set_label(&mut out).unwrap();
        a.ret().unwrap();
    });
    code.extend(tail);
    let size = (code.len() as i64 + grow) as u64;
    let at = fixture.next();
    let analysis = plan(&fixture.bytes("SSL_free", code, size));
    let plan = of(&analysis, "SSL_free").clone();
    assert_eq!(plan.entry.vaddr - at, if plan.entry.emulated { 3 } else { 0 });
    plan
}

#[test]
fn a_function_must_decode_to_its_end() {
    assert!(bytes_plan(&[], 0).entry.emulated);
    // 06 is no instruction in 64-bit mode
    assert!(!bytes_plan(&[0x06], 0).entry.emulated);
    // the symbol ends inside a five-byte instruction
    assert!(!bytes_plan(&[0xb8, 1, 0, 0, 0], -2).entry.emulated);
}

#[test]
fn a_branch_into_an_instruction_gives_the_symbol_entry() {
    // mov $0xc3,%eax; ret; jmp into the middle of that mov
    assert!(bytes_plan(&[0xb8, 0xc3, 0, 0, 0, 0xc3], 0).entry.emulated);
    let plan = bytes_plan(&[0xb8, 0xc3, 0, 0, 0, 0xeb, 0xfa], 0);
    assert!(!plan.entry.emulated);
    assert!(plan.why.contains("boundary"), "{}", plan.why);
}

#[test]
fn an_unknown_size_gives_the_symbol_entry() {
    let plan = bytes_plan(&[], -6);
    assert!(!plan.entry.emulated);
    assert!(plan.why.contains("size"), "{}", plan.why);
}

#[test]
fn a_five_byte_nop_is_never_probed() {
    let fixture = base();
    let at = fixture.next();
    // nopl 0(%rax,%rax,1), as compilers leave for tracers; then sub, indirect jump
    let code = vec![0x0f, 0x1f, 0x44, 0, 0, 0x48, 0x83, 0xec, 0x08, 0xff, 0xe0];
    let size = code.len() as u64;
    let analysis = plan(&fixture.bytes("SSL_free", code, size));
    assert_eq!(of(&analysis, "SSL_free").entry.vaddr, at + 5);
}

#[test]
fn two_names_of_one_function_are_planned_once() {
    let fixture = base()
        .function("SSL_set_rfd", |a| {
            a.push(rbx).unwrap();
            a.pop(rbx).unwrap();
            a.ret().unwrap();
        })
        .alias("SSL_set_wfd");
    let analysis = plan(&fixture);
    assert_eq!(of(&analysis, "SSL_set_wfd").covers, ["SSL_set_rfd", "SSL_set_wfd"]);
}
