//! Each rule of the planner, on functions assembled for it.

mod entries;
mod exits;
mod inner_functions;
mod layers;

use crate::fixture::{FAIL, Fixture};
use crate::{Analysis, Exit, FunctionPlan, Options, analyze_with};
use iced_x86::code_asm::{CodeAssembler, *};

/// The plan for a file in which `SSL_write` is a plain function of no interest.
fn plan(fixture: &Fixture) -> Analysis {
    plan_with(fixture, Options::default())
}

fn plan_without_uretprobes(fixture: &Fixture) -> Analysis {
    plan_with(fixture, Options { avoid_uretprobe: true, ..Options::default() })
}

fn plan_with(fixture: &Fixture, options: Options) -> Analysis {
    analyze_with(&fixture.elf(), options).unwrap()
}

fn of<'a>(analysis: &'a Analysis, name: &str) -> &'a FunctionPlan {
    analysis
        .functions
        .iter()
        .find(|plan| plan.covers.iter().any(|covered| covered == name))
        .unwrap_or_else(|| panic!("no plan covers {name}: {analysis:#?}"))
}

fn exit_instructions(plan: &FunctionPlan) -> Vec<&str> {
    match &plan.exit {
        Exit::Sites(sites) => sites
            .iter()
            .map(|site| site.instruction.split(' ').next().unwrap_or_default())
            .collect(),
        other => panic!("no exit sites but {other:?}"),
    }
}

fn noted(analysis: &Analysis, text: &str) -> bool {
    analysis.notes.iter().any(|note| note.contains(text))
}

/// `SSL_write` as a leaf that is never of interest, so that the file counts as a TLS library.
fn base() -> Fixture {
    Fixture::new().function("SSL_write", |a| {
        a.push(rbx).unwrap();
        a.pop(rbx).unwrap();
        a.ret().unwrap();
    })
}

/// Entry, negative length test, `body`, stack protector, `ret`: what compilers make of a wrapper.
fn protected(a: &mut CodeAssembler, body: impl FnOnce(&mut CodeAssembler)) {
    let (mut epilogue, mut negative, mut smashed) =
        (a.create_label(), a.create_label(), a.create_label());
    a.sub(rsp, 0x18).unwrap();
    a.mov(rax, qword_ptr(0x28).fs()).unwrap();
    a.mov(qword_ptr(rsp + 8), rax).unwrap();
    a.xor(eax, eax).unwrap();
    a.test(edx, edx).unwrap();
    a.js(negative).unwrap();
    body(a);
    a.set_label(&mut epilogue).unwrap();
    a.mov(rdx, qword_ptr(rsp + 8)).unwrap();
    a.sub(rdx, qword_ptr(0x28).fs()).unwrap();
    a.jne(smashed).unwrap();
    a.add(rsp, 0x18).unwrap();
    a.ret().unwrap();
    a.set_label(&mut negative).unwrap();
    a.mov(eax, -1).unwrap();
    a.jmp(epilogue).unwrap();
    a.set_label(&mut smashed).unwrap();
    a.call(FAIL).unwrap();
}
