//! The shared internal function, and everything that must keep the planner from believing in one.

use super::*;
use crate::{PlacementKind, ResultStyle};

/// What differs between the wrappers of a test.
#[derive(Clone, Copy)]
struct Shape {
    /// `SSL_read` returns the slot's content whatever the call returned.
    unconditional: bool,
    /// `SSL_read` returns the result itself for some lengths, also when it is > 0.
    raw: bool,
    /// The `_ex` form passes buf and num the other way round.
    swapped: bool,
    /// The `_ex` form may call again.
    twice: bool,
    /// The internal function begins with an instruction that isn't emulated.
    stepped: bool,
    /// `SSL_peek` goes through it too.
    peeks: bool,
}

const GOOD: Shape = Shape {
    unconditional: false,
    raw: false,
    swapped: false,
    twice: false,
    stepped: false,
    peeks: false,
};

fn inner(a: &mut CodeAssembler, stepped: bool) {
    if stepped {
        a.sub(rsp, 8).unwrap();
        a.add(rsp, 8).unwrap();
    }
    a.push(rbx).unwrap();
    a.mov(qword_ptr(rcx), rdx).unwrap();
    a.mov(eax, 1).unwrap();
    a.pop(rbx).unwrap();
    a.ret().unwrap();
}

/// `int ret = inner(ssl, buf, num, &done); return ret > 0 ? (int)done : ret;`
fn counting(a: &mut CodeAssembler, target: u64, shape: Shape) {
    protected(a, |a| {
        let mut failed = a.create_label();
        a.mov(rcx, rsp).unwrap();
        a.movsxd(rdx, edx).unwrap();
        a.call(target).unwrap();
        if shape.raw {
            a.cmp(dword_ptr(rsp), 7).unwrap();
            a.je(failed).unwrap();
        }
        a.test(eax, eax).unwrap();
        if !shape.unconditional {
            a.jle(failed).unwrap();
        }
        a.mov(eax, dword_ptr(rsp)).unwrap();
        a.set_label(&mut failed).unwrap();
        a.nop().unwrap();
    });
}

/// `int ret = inner(ssl, buf, num, done); return ret < 0 ? 0 : ret;`
fn extended(a: &mut CodeAssembler, target: u64, shape: Shape) {
    a.sub(rsp, 8).unwrap();
    if shape.swapped {
        a.xchg(rsi, rdx).unwrap();
    }
    a.call(target).unwrap();
    if shape.twice {
        let mut done = a.create_label();
        a.cmp(eax, -2).unwrap();
        a.jne(done).unwrap();
        a.call(target).unwrap();
        a.set_label(&mut done).unwrap();
    }
    a.xor(edx, edx).unwrap();
    a.test(eax, eax).unwrap();
    a.cmovs(eax, edx).unwrap();
    a.add(rsp, 8).unwrap();
    a.ret().unwrap();
}

fn library(shape: Shape) -> (u64, Fixture) {
    let fixture = base();
    let target = fixture.next();
    let fixture = fixture
        .internal(|a| inner(a, shape.stepped))
        .function("SSL_read", |a| counting(a, target, shape))
        .function("SSL_read_ex", |a| extended(a, target, shape))
        .function("SSL_peek", |a| {
            a.sub(rsp, 8).unwrap();
            if shape.peeks {
                a.call(target).unwrap();
            }
            a.add(rsp, 8).unwrap();
            a.ret().unwrap();
        });
    (target, fixture)
}

#[test]
fn wrappers_that_agree_share_one_probe() {
    let (target, fixture) = library(GOOD);
    let analysis = plan(&fixture);
    let plan = of(&analysis, "SSL_read");
    assert_eq!(plan.placement, PlacementKind::SharedInner);
    assert_eq!(plan.covers, ["SSL_read", "SSL_read_ex"]);
    assert_eq!(plan.entry.vaddr, target);
    assert_eq!(plan.result, ResultStyle::OutParam { arg: 4 });
    assert_eq!(plan.exit, Exit::Uretprobe);
}

fn rejected(shape: Shape, reason: &str) {
    let (_, fixture) = library(shape);
    let analysis = plan(&fixture);
    let plan = of(&analysis, "SSL_read");
    assert_ne!(plan.placement, PlacementKind::SharedInner);
    assert_eq!(plan.covers, ["SSL_read"]);
    assert_eq!(plan.result, ResultStyle::ReturnValue { bits: 32 });
    assert_eq!(of(&analysis, "SSL_read_ex").result, ResultStyle::OutParam { arg: 4 });
    assert!(noted(&analysis, reason), "{:?}", analysis.notes);
}

#[test]
fn a_wrapper_that_swaps_arguments_spoils_it() {
    rejected(Shape { swapped: true, ..GOOD }, "SSL_read_ex isn't shown");
}

#[test]
fn a_wrapper_that_calls_twice_spoils_it() {
    rejected(Shape { twice: true, ..GOOD }, "SSL_read_ex isn't shown");
}

#[test]
fn a_count_returned_whatever_the_result_spoils_it() {
    rejected(Shape { unconditional: true, ..GOOD }, "SSL_read isn't shown");
}

#[test]
fn a_positive_result_returned_as_it_is_spoils_it() {
    rejected(Shape { raw: true, ..GOOD }, "SSL_read isn't shown");
}

#[test]
fn peeking_through_the_same_function_spoils_it() {
    rejected(Shape { peeks: true, ..GOOD }, "SSL_peek calls it too");
}

#[test]
fn a_first_instruction_that_is_stepped_is_not_worth_it() {
    rejected(Shape { stepped: true, ..GOOD }, "not emulated");
}

#[test]
fn return_probes_to_be_avoided_rule_it_out() {
    let (_, fixture) = library(GOOD);
    let analysis = plan_without_uretprobes(&fixture);
    assert_eq!(of(&analysis, "SSL_read").placement, PlacementKind::JumpSites);
    assert_eq!(of(&analysis, "SSL_read_ex").placement, PlacementKind::EntryRetSites);
}

/// A function of the library that reads through the internal one, as `BIO_f_ssl` does: what is done
/// between the call and the look at its error is the test's.
fn through_a_bio(between: impl FnOnce(&mut CodeAssembler, CodeLabel)) -> (u64, Fixture) {
    let (target, fixture) = library(Shape { stepped: true, ..GOOD });
    let at = fixture.next();
    let fixture = fixture.function("ssl_read_of_a_bio", |a| {
        let mut behind = a.create_label();
        a.push(rbx).unwrap();
        a.mov(rcx, rdx).unwrap();
        a.call(target).unwrap();
        a.set_label(&mut behind).unwrap();
        a.mov(esi, eax).unwrap();
        between(a, behind);
        a.call(FAIL + 0x10).unwrap();
        a.pop(rbx).unwrap();
        a.ret().unwrap();
    });
    (at, fixture)
}

fn call_site(analysis: &Analysis) -> Option<&FunctionPlan> {
    analysis.functions.iter().find(|plan| plan.placement == PlacementKind::CallSite)
}

#[test]
fn a_call_by_no_wrapper_is_probed_where_it_is_made() {
    let (at, fixture) = through_a_bio(|_, _| {});
    let analysis = plan(&fixture);
    let plan = call_site(&analysis).unwrap();
    assert_eq!(plan.entry.vaddr, at + 4);
    assert_eq!(plan.result, ResultStyle::OutParam { arg: 4 });
    assert_eq!(exit_instructions(plan), ["call"]);
    assert_eq!(of(&analysis, "SSL_read").placement, PlacementKind::JumpSites);
}

#[test]
fn a_call_by_no_wrapper_is_seen_without_return_probes() {
    let (at, fixture) = through_a_bio(|_, _| {});
    let analysis = plan_without_uretprobes(&fixture);
    assert_eq!(call_site(&analysis).unwrap().entry.vaddr, at + 4);
}

#[test]
fn a_result_that_is_overwritten_is_taken_right_behind_the_call() {
    for spoil in [
        |a: &mut CodeAssembler, _| a.xor(eax, eax).unwrap(),
        |a: &mut CodeAssembler, _| a.mov(qword_ptr(rbx), 1).unwrap(),
    ] {
        let (at, fixture) = through_a_bio(spoil);
        let analysis = plan(&fixture);
        let Exit::Sites(sites) = &call_site(&analysis).unwrap().exit else { panic!() };
        assert_eq!(sites[0].vaddr, at + 9);
    }
}

#[test]
fn where_a_call_site_is_not_passed_by_its_calls_only_the_function_is_probed_at_any_price() {
    let loops = |a: &mut CodeAssembler, behind| a.jne(behind).unwrap();
    let jumps = |a: &mut CodeAssembler, _| a.jmp(rax).unwrap();
    for (spoil, reason) in [
        (Box::new(loops) as Box<dyn Fn(&mut CodeAssembler, CodeLabel)>, "may land behind"),
        (Box::new(jumps), "no table that is known"),
    ] {
        let (_, fixture) = through_a_bio(&*spoil);
        let analysis = plan(&fixture);
        assert!(call_site(&analysis).is_none());
        let plan = of(&analysis, "SSL_read");
        assert_eq!(plan.placement, PlacementKind::SharedInner);
        assert!(!plan.entry.emulated);
        assert_eq!(plan.covers, ["SSL_read", "SSL_read_ex"]);
        assert!(noted(&analysis, reason), "{:?}", analysis.notes);
    }
}

#[test]
fn many_places_that_look_like_calls_are_not_all_looked_at() {
    let (target, fixture) = library(Shape { stepped: true, ..GOOD });
    let fixture = fixture.function("table", |a| {
        for _ in 0..100 {
            a.call(target).unwrap();
        }
        a.ret().unwrap();
    });
    let analysis = plan(&fixture);
    assert!(call_site(&analysis).is_none());
    assert!(noted(&analysis, "may be there"), "{:?}", analysis.notes);
}

#[test]
fn a_function_of_unknown_size_that_calls_it_makes_it_probed_at_any_price() {
    let (target, fixture) = library(Shape { stepped: true, ..GOOD });
    let fixture = fixture.internal(|a| {
        a.call(target).unwrap();
        a.ret().unwrap();
    });
    let analysis = plan(&fixture);
    assert_eq!(of(&analysis, "SSL_read").placement, PlacementKind::SharedInner);
    assert!(noted(&analysis, "begins and ends is not known"), "{:?}", analysis.notes);
    // Where that can't be, it is said.
    let analysis = plan_without_uretprobes(&fixture);
    assert_eq!(of(&analysis, "SSL_read").placement, PlacementKind::JumpSites);
    assert!(noted(&analysis, "is not seen"), "{:?}", analysis.notes);
}

#[test]
fn a_wrapper_around_another_wrapper_is_covered_and_the_fifth_argument_found() {
    let fixture = Fixture::new();
    let target = fixture.next();
    let ex2 = target + 0x2000;
    let fixture = fixture
        .internal(|a| {
            a.endbr64().unwrap();
            a.push(rbx).unwrap();
            a.mov(qword_ptr(r8), rdx).unwrap();
            a.pop(rbx).unwrap();
            a.ret().unwrap();
        })
        .function("SSL_write", |a| {
            protected(a, |a| {
                let mut failed = a.create_label();
                a.xor(ecx, ecx).unwrap();
                a.mov(edx, edx).unwrap();
                a.mov(r8, rsp).unwrap();
                a.call(target).unwrap();
                a.test(eax, eax).unwrap();
                a.jle(failed).unwrap();
                a.mov(eax, dword_ptr(rsp)).unwrap();
                a.set_label(&mut failed).unwrap();
                a.nop().unwrap();
            });
        })
        .function("SSL_write_ex2", |a| extended(a, target, GOOD))
        .function("SSL_write_ex", |a| {
            a.endbr64().unwrap();
            a.mov(r8, rcx).unwrap();
            a.xor(ecx, ecx).unwrap();
            a.jmp(ex2).unwrap();
        });
    let analysis = plan(&fixture);
    let plan = of(&analysis, "SSL_write");
    assert_eq!(plan.covers, ["SSL_write", "SSL_write_ex", "SSL_write_ex2"]);
    assert_eq!(plan.result, ResultStyle::OutParam { arg: 5 });
    assert_eq!(plan.entry.vaddr, target + 4, "after the endbr64");
}

#[test]
fn unoptimised_wrappers_keep_everything_in_the_frame() {
    let fixture = base();
    let target = fixture.next();
    let frame = |a: &mut CodeAssembler| {
        a.push(rbp).unwrap();
        a.mov(rbp, rsp).unwrap();
        a.sub(rsp, 0x30).unwrap();
        a.mov(qword_ptr(rbp - 0x18), rdi).unwrap();
        a.mov(qword_ptr(rbp - 0x20), rsi).unwrap();
    };
    let fixture = fixture
        .internal(|a| inner(a, false))
        .function("SSL_read", |a| {
            let (mut failed, mut out) = (a.create_label(), a.create_label());
            let mut positive = a.create_label();
            frame(a);
            a.mov(dword_ptr(rbp - 0x24), edx).unwrap();
            a.cmp(dword_ptr(rbp - 0x24), 0).unwrap();
            a.jns(positive).unwrap();
            a.mov(eax, -1).unwrap();
            a.jmp(out).unwrap();
            a.set_label(&mut positive).unwrap();
            a.mov(eax, dword_ptr(rbp - 0x24)).unwrap();
            a.movsxd(rdx, eax).unwrap();
            a.lea(rcx, qword_ptr(rbp - 0x10)).unwrap();
            a.mov(rsi, qword_ptr(rbp - 0x20)).unwrap();
            a.mov(rax, qword_ptr(rbp - 0x18)).unwrap();
            a.mov(rdi, rax).unwrap();
            a.call(target).unwrap();
            a.mov(dword_ptr(rbp - 4), eax).unwrap();
            a.cmp(dword_ptr(rbp - 4), 0).unwrap();
            a.jle(failed).unwrap();
            a.mov(rax, qword_ptr(rbp - 0x10)).unwrap();
            a.mov(dword_ptr(rbp - 4), eax).unwrap();
            a.set_label(&mut failed).unwrap();
            a.mov(eax, dword_ptr(rbp - 4)).unwrap();
            a.set_label(&mut out).unwrap();
            a.leave().unwrap();
            a.ret().unwrap();
        })
        .function("SSL_read_ex", |a| {
            let (mut negative, mut out) = (a.create_label(), a.create_label());
            frame(a);
            a.mov(qword_ptr(rbp - 0x28), rdx).unwrap();
            a.mov(qword_ptr(rbp - 0x30), rcx).unwrap();
            a.mov(rcx, qword_ptr(rbp - 0x30)).unwrap();
            a.mov(rdx, qword_ptr(rbp - 0x28)).unwrap();
            a.mov(rsi, qword_ptr(rbp - 0x20)).unwrap();
            a.mov(rdi, qword_ptr(rbp - 0x18)).unwrap();
            a.call(target).unwrap();
            a.mov(dword_ptr(rbp - 4), eax).unwrap();
            a.cmp(dword_ptr(rbp - 4), 0).unwrap();
            a.jns(negative).unwrap();
            a.mov(dword_ptr(rbp - 4), 0).unwrap();
            a.set_label(&mut negative).unwrap();
            a.mov(eax, dword_ptr(rbp - 4)).unwrap();
            a.set_label(&mut out).unwrap();
            a.leave().unwrap();
            a.ret().unwrap();
        });
    let analysis = plan(&fixture);
    assert_eq!(of(&analysis, "SSL_read").placement, PlacementKind::SharedInner);
}
