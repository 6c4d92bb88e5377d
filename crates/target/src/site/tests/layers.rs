//! Exported functions built on one another: LibreSSL, AWS-LC, BoringSSL, early data.

use super::*;

#[test]
fn an_ex_form_built_on_the_plain_function_is_seen_there() {
    let fixture = base();
    let read = fixture.next();
    let fixture = fixture
        .function("SSL_read", |a| {
            a.push(rbx).unwrap();
            a.mov(eax, edx).unwrap();
            a.pop(rbx).unwrap();
            a.ret().unwrap();
        })
        .function("SSL_read_ex", |a| {
            let (mut failed, mut out) = (a.create_label(), a.create_label());
            a.push(rbx).unwrap();
            a.mov(rbx, rcx).unwrap();
            a.call(read).unwrap();
            a.test(eax, eax).unwrap();
            a.jle(failed).unwrap();
            a.cdqe().unwrap();
            a.mov(qword_ptr(rbx), rax).unwrap();
            a.mov(eax, 1).unwrap();
            a.jmp(out).unwrap();
            a.set_label(&mut failed).unwrap();
            a.xor(eax, eax).unwrap();
            a.set_label(&mut out).unwrap();
            a.pop(rbx).unwrap();
            a.ret().unwrap();
        });
    let analysis = plan(&fixture);
    assert_eq!(of(&analysis, "SSL_read_ex").name, "SSL_read");
    assert_eq!(of(&analysis, "SSL_read").covers, ["SSL_read", "SSL_read_ex"]);
}

#[test]
fn an_ex_form_with_a_way_of_its_own_is_probed_itself() {
    let fixture = base();
    let read = fixture.next();
    let fixture = fixture
        .function("SSL_read", |a| {
            a.push(rbx).unwrap();
            a.pop(rbx).unwrap();
            a.ret().unwrap();
        })
        .function("SSL_read_ex", |a| {
            let mut other = a.create_label();
            a.push(rbx).unwrap();
            a.test(rdx, rdx).unwrap();
            a.je(other).unwrap();
            a.call(read).unwrap();
            a.set_label(&mut other).unwrap();
            a.mov(eax, 1).unwrap();
            a.pop(rbx).unwrap();
            a.ret().unwrap();
        });
    assert_eq!(of(&plan(&fixture), "SSL_read_ex").name, "SSL_read_ex");
}

#[test]
fn a_peek_that_read_itself_makes_is_not_a_peek_of_the_program() {
    let fixture = base();
    let peek = fixture.next();
    let fixture = fixture.function("SSL_peek", |a| a.ret().unwrap()).function("SSL_read", |a| {
        a.push(rbx).unwrap();
        a.call(peek).unwrap();
        a.pop(rbx).unwrap();
        a.ret().unwrap();
    });
    let analysis = plan(&fixture);
    assert!(analysis.functions.iter().all(|plan| plan.name != "SSL_peek"));
    assert!(noted(&analysis, "SSL_read calls it"));
}

#[test]
fn early_data_is_seen_at_the_function_it_hands_its_data_to() {
    let fixture = base();
    let read_ex = fixture.next();
    let fixture = fixture
        .function("SSL_read_ex", |a| {
            a.push(rbx).unwrap();
            a.pop(rbx).unwrap();
            a.ret().unwrap();
        })
        .function("SSL_read_early_data", |a| {
            a.push(rbx).unwrap();
            a.call(read_ex).unwrap();
            a.pop(rbx).unwrap();
            a.ret().unwrap();
        });
    assert_eq!(of(&plan(&fixture), "SSL_read_early_data").name, "SSL_read_ex");
}

#[test]
fn the_plain_placement_probes_every_symbol_itself() {
    let fixture = base();
    let read = fixture.next();
    let fixture = fixture.function("SSL_read", |a| protected(a, |a| a.mov(eax, 1).unwrap()));
    let options = Options { placement: crate::Placement::Entry, ..Options::default() };
    let analysis = plan_with(&fixture, options);
    let plan = of(&analysis, "SSL_read");
    assert_eq!((plan.entry.vaddr, &plan.exit), (read, &Exit::Uretprobe));
}
