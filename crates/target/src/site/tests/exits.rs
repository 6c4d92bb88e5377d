//! Exit sites, on an `SSL_read` of each shape.

use super::*;
use crate::PlacementKind::{EntryRetSites, EntryUretprobe, JumpSites};

fn read(body: impl FnOnce(&mut CodeAssembler)) -> Fixture {
    base().function("SSL_read", body)
}

#[test]
fn the_stack_protector_branch_is_an_exit_site() {
    let analysis = plan(&read(|a| protected(a, |a| a.mov(eax, 5).unwrap())));
    let plan = of(&analysis, "SSL_read");
    assert_eq!(plan.placement, JumpSites);
    assert!(plan.entry.instruction.starts_with("js"));
    assert_eq!(exit_instructions(plan), ["jne"]);
}

#[test]
fn each_return_gets_its_own_site() {
    let analysis = plan(&read(|a| {
        let (mut other, mut smashed) = (a.create_label(), a.create_label());
        a.sub(rsp, 8).unwrap();
        a.test(edx, edx).unwrap();
        a.js(other).unwrap();
        for value in [7, -1] {
            if value < 0 {
                a.set_label(&mut other).unwrap();
            }
            a.mov(eax, value).unwrap();
            a.cmp(rcx, rdx).unwrap();
            a.jne(smashed).unwrap();
            a.add(rsp, 8).unwrap();
            a.ret().unwrap();
        }
        a.set_label(&mut smashed).unwrap();
        a.call(FAIL).unwrap();
    }));
    let plan = of(&analysis, "SSL_read");
    assert_eq!(plan.placement, JumpSites);
    assert_eq!(exit_instructions(plan), ["jne", "jne"]);
}

#[test]
fn a_result_written_after_the_last_emulated_instruction_forbids_exit_sites() {
    let fixture = || {
        read(|a| {
            let (mut out, mut smashed) = (a.create_label(), a.create_label());
            a.sub(rsp, 8).unwrap();
            a.test(edx, edx).unwrap();
            a.js(out).unwrap();
            a.xor(eax, eax).unwrap();
            a.set_label(&mut out).unwrap();
            a.cmp(rcx, rdx).unwrap();
            a.jne(smashed).unwrap();
            a.add(rsp, 8).unwrap();
            a.mov(eax, edx).unwrap();
            a.ret().unwrap();
            a.set_label(&mut smashed).unwrap();
            a.call(FAIL).unwrap();
        })
    };
    let analysis = plan(&fixture());
    let chosen = of(&analysis, "SSL_read");
    assert_eq!((chosen.placement, &chosen.exit), (EntryUretprobe, &Exit::Uretprobe));
    let analysis = plan_without_uretprobes(&fixture());
    let chosen = of(&analysis, "SSL_read");
    assert_eq!(chosen.placement, EntryRetSites);
    assert_eq!(exit_instructions(chosen), ["ret"]);
    assert!(chosen.entry.emulated, "the js is still the cheapest entry");
}

#[test]
fn a_call_is_emulated_but_no_exit_site() {
    let fixture = base();
    let other = fixture.next() + 0x1000;
    let fixture = fixture
        .function("SSL_read", move |a| {
            let mut out = a.create_label();
            a.sub(rsp, 8).unwrap();
            a.test(edx, edx).unwrap();
            a.js(out).unwrap();
            a.mov(eax, 1).unwrap();
            a.set_label(&mut out).unwrap();
            a.call(other).unwrap();
            a.add(rsp, 8).unwrap();
            a.ret().unwrap();
        })
        .internal(|a| a.ret().unwrap());
    assert_eq!(of(&plan(&fixture), "SSL_read").placement, EntryUretprobe);
}

#[test]
fn a_path_past_the_site_forbids_exit_sites() {
    // The second way into the epilogue passes no emulated instruction after setting eax.
    let analysis = plan(&read(|a| {
        let (mut other, mut epilogue) = (a.create_label(), a.create_label());
        a.sub(rsp, 8).unwrap();
        a.test(edx, edx).unwrap();
        a.js(other).unwrap();
        a.mov(eax, 1).unwrap();
        a.jmp(epilogue).unwrap();
        a.set_label(&mut other).unwrap();
        a.mov(eax, -1).unwrap();
        a.set_label(&mut epilogue).unwrap();
        a.add(rsp, 8).unwrap();
        a.ret().unwrap();
    }));
    assert_eq!(of(&analysis, "SSL_read").placement, EntryUretprobe);
}

#[test]
fn a_site_in_a_loop_is_no_exit_site() {
    let analysis = plan(&read(|a| {
        let (mut start, mut again) = (a.create_label(), a.create_label());
        a.sub(rsp, 8).unwrap();
        a.test(edx, edx).unwrap();
        a.js(start).unwrap();
        a.set_label(&mut start).unwrap();
        a.mov(eax, 3).unwrap();
        a.set_label(&mut again).unwrap();
        a.dec(edx).unwrap();
        a.jne(again).unwrap();
        a.add(rsp, 8).unwrap();
        a.ret().unwrap();
    }));
    let plan = of(&analysis, "SSL_read");
    assert_eq!(plan.placement, EntryUretprobe);
    assert!(plan.why.contains("more than one"), "{}", plan.why);
}

#[test]
fn a_tail_call_forbids_exit_and_ret_sites() {
    let fixture = || {
        let fixture = base();
        let other = fixture.next() + 0x1000;
        fixture
            .function("SSL_read", move |a| {
                let mut out = a.create_label();
                a.sub(rsp, 8).unwrap();
                a.test(edx, edx).unwrap();
                a.js(out).unwrap();
                a.add(rsp, 8).unwrap();
                a.jmp(other).unwrap();
                a.set_label(&mut out).unwrap();
                a.add(rsp, 8).unwrap();
                a.ret().unwrap();
            })
            .internal(|a| a.ret().unwrap())
    };
    assert_eq!(of(&plan(&fixture()), "SSL_read").placement, EntryUretprobe);
    let analysis = plan_without_uretprobes(&fixture());
    assert!(analysis.functions.iter().all(|plan| plan.name != "SSL_read"));
    assert!(noted(&analysis, "SSL_read: not probed: return probes are to be avoided"));
}

#[test]
fn a_jump_to_a_failed_assertion_is_no_exit() {
    let fixture = read(|a| {
        let mut out = a.create_label();
        a.test(edx, edx).unwrap();
        a.js(out).unwrap();
        a.mov(eax, 1).unwrap();
        a.cmp(rdx, rsi).unwrap();
        // to __stack_chk_fail's ud2: another function, but a dead end
        a.ja(FAIL).unwrap();
        a.set_label(&mut out).unwrap();
        a.ret().unwrap();
    });
    let analysis = plan_without_uretprobes(&fixture);
    assert_eq!(exit_instructions(of(&analysis, "SSL_read")), ["ret"]);
}

#[test]
fn a_store_after_the_site_matters_only_behind_a_pointer() {
    let body = |a: &mut CodeAssembler| {
        protected(a, |a| {
            a.mov(eax, 1).unwrap();
        });
    };
    let stores = |a: &mut CodeAssembler| {
        let (mut start, mut smashed) = (a.create_label(), a.create_label());
        a.sub(rsp, 8).unwrap();
        a.test(edx, edx).unwrap();
        a.js(start).unwrap();
        a.set_label(&mut start).unwrap();
        a.mov(eax, 1).unwrap();
        a.cmp(rsi, rdx).unwrap();
        a.jne(smashed).unwrap();
        a.mov(qword_ptr(rcx), rdx).unwrap();
        a.add(rsp, 8).unwrap();
        a.ret().unwrap();
        a.set_label(&mut smashed).unwrap();
        a.call(FAIL).unwrap();
    };
    let placement = |name, body: &dyn Fn(&mut CodeAssembler)| {
        let analysis = plan(&base().function(name, |a| body(a)));
        of(&analysis, name).placement
    };
    assert_eq!(placement("SSL_read_ex", &body), JumpSites);
    assert_eq!(placement("SSL_read", &stores), JumpSites);
    assert_eq!(placement("SSL_read_ex", &stores), EntryUretprobe);
}

#[test]
fn a_return_probe_never_sits_behind_a_moved_stack_pointer() {
    let fixture = base();
    let at = fixture.next();
    let analysis = plan(&fixture.function("SSL_read", |a| {
        a.endbr64().unwrap();
        a.sub(rsp, 8).unwrap();
        a.push(rbx).unwrap();
        a.mov(eax, edx).unwrap();
        a.pop(rbx).unwrap();
        a.add(rsp, 8).unwrap();
        a.ret().unwrap();
    }));
    let plan = of(&analysis, "SSL_read");
    assert_eq!((plan.placement, plan.entry.vaddr), (EntryUretprobe, at));
}
