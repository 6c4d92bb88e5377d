//! Accessors of every shape, assembled by hand.

use crate::fixture::Fixture;
use crate::{BioLayout, SslLayout, analyze, libcrypto_layout};
use iced_x86::code_asm::{CodeAssembler, *};

fn base() -> Fixture {
    Fixture::new().function("SSL_read", |a| {
        a.push(rbx).unwrap();
        a.pop(rbx).unwrap();
        a.ret().unwrap();
    })
}

fn ssl(
    rbio: impl FnOnce(&mut CodeAssembler),
    wbio: impl FnOnce(&mut CodeAssembler),
) -> Option<SslLayout> {
    let fixture = base().function("SSL_get_rbio", rbio).function("SSL_get_wbio", wbio);
    let analysis = analyze(&fixture.elf(), crate::Placement::Auto).unwrap();
    let explained = analysis.notes.iter().any(|note| note.contains("no TLS object layout"));
    assert_ne!(explained, analysis.ssl_layout.is_some());
    analysis.ssl_layout
}

fn load(offset: i32) -> impl Fn(&mut CodeAssembler) {
    move |a| {
        a.mov(rax, qword_ptr(rdi + offset)).unwrap();
        a.ret().unwrap();
    }
}

#[test]
fn a_plain_load_gives_the_offset() {
    let layout = ssl(load(0x10), load(0x18)).unwrap();
    assert_eq!((layout.rbio, layout.wbio, layout.zero_if_plain), (0x10, 0x18, None));
}

#[test]
fn the_handshake_buffer_in_front_of_wbio_is_stepped_over() {
    // 1.1.1: `if (s->bbio != NULL) return BIO_next(s->bbio); return s->wbio;`
    let layout = ssl(load(0x10), |a| {
        let mut buffered = a.create_label();
        a.mov(r8, qword_ptr(rdi + 0x20)).unwrap();
        a.test(r8, r8).unwrap();
        a.jne(buffered).unwrap();
        a.mov(rax, qword_ptr(rdi + 0x18)).unwrap();
        a.ret().unwrap();
        a.set_label(&mut buffered).unwrap();
        a.mov(rdi, r8).unwrap();
        a.jmp(0x1000).unwrap();
    });
    assert_eq!(layout.unwrap().wbio, 0x18);
}

#[test]
fn an_accessor_that_tests_the_type_is_followed_for_type_zero() {
    let typed = |offset: i32| {
        move |a: &mut CodeAssembler| {
            let (mut none, mut plain) = (a.create_label(), a.create_label());
            a.endbr64().unwrap();
            a.test(rdi, rdi).unwrap();
            a.je(none).unwrap();
            a.mov(eax, dword_ptr(rdi)).unwrap();
            a.test(eax, eax).unwrap();
            a.je(plain).unwrap();
            // a QUIC object: another field of another struct
            a.mov(rax, qword_ptr(rdi + 0x78)).unwrap();
            a.ret().unwrap();
            a.set_label(&mut none).unwrap();
            a.xor(eax, eax).unwrap();
            a.ret().unwrap();
            a.set_label(&mut plain).unwrap();
            a.mov(rax, qword_ptr(rdi + offset)).unwrap();
            a.ret().unwrap();
        }
    };
    let layout = ssl(typed(0x50), typed(0x58)).unwrap();
    assert_eq!((layout.rbio, layout.wbio, layout.zero_if_plain), (0x50, 0x58, Some(0)));
}

#[test]
fn an_unoptimised_accessor_keeps_its_argument_in_the_frame() {
    let unoptimised = |offset: i32| {
        move |a: &mut CodeAssembler| {
            a.push(rbp).unwrap();
            a.mov(rbp, rsp).unwrap();
            a.mov(qword_ptr(rbp - 8), rdi).unwrap();
            a.mov(rax, qword_ptr(rbp - 8)).unwrap();
            a.mov(rax, qword_ptr(rax + offset)).unwrap();
            a.pop(rbp).unwrap();
            a.ret().unwrap();
        }
    };
    assert_eq!(ssl(unoptimised(0x10), unoptimised(0x18)).unwrap().rbio, 0x10);
}

#[test]
fn pointers_that_are_not_neighbours_are_not_believed() {
    assert_eq!(ssl(load(0x10), load(0x28)), None);
}

#[test]
fn an_accessor_with_two_answers_is_not_believed() {
    let either = |a: &mut CodeAssembler| {
        let mut other = a.create_label();
        a.cmp(dword_ptr(rdi + 8), 1).unwrap();
        a.je(other).unwrap();
        a.mov(rax, qword_ptr(rdi + 0x10)).unwrap();
        a.ret().unwrap();
        a.set_label(&mut other).unwrap();
        a.mov(rax, qword_ptr(rdi + 0x40)).unwrap();
        a.ret().unwrap();
    };
    assert_eq!(ssl(either, load(0x18)), None);
}

#[test]
fn a_loop_in_an_accessor_ends_the_derivation() {
    assert_eq!(
        ssl(
            |a| {
                let mut again = a.create_label();
                a.set_label(&mut again).unwrap();
                a.mov(rdi, qword_ptr(rdi)).unwrap();
                a.jmp(again).unwrap();
            },
            load(0x18)
        ),
        None
    );
}

fn int(offset: i32) -> impl Fn(&mut CodeAssembler) {
    move |a| {
        a.mov(eax, dword_ptr(rdi + offset)).unwrap();
        a.ret().unwrap();
    }
}

type Accessor<'a> = (&'a str, &'a dyn Fn(&mut CodeAssembler));

fn bio(functions: &[Accessor<'_>]) -> Option<BioLayout> {
    let fixture = functions
        .iter()
        .fold(Fixture::new(), |fixture, (name, body)| fixture.function(name, |a| body(a)));
    libcrypto_layout(&fixture.elf())
}

#[test]
fn the_descriptor_lies_between_the_flags_and_the_data() {
    let method = |a: &mut CodeAssembler| {
        a.mov(rax, qword_ptr(rdi + 8)).unwrap();
        a.mov(eax, dword_ptr(rax)).unwrap();
        a.ret().unwrap();
    };
    let layout = bio(&[
        ("BIO_get_shutdown", &int(0x2c)),
        ("BIO_get_retry_reason", &int(0x34)),
        ("BIO_get_data", &load(0x40)),
        ("BIO_method_type", &method),
    ])
    .unwrap();
    assert_eq!((layout.num, layout.method), (0x38, Some(8)));
}

#[test]
fn openssl_1_0_2_has_other_neighbours() {
    let layout = bio(&[("BIO_get_retry_reason", &int(0x24)), ("BIO_next", &load(0x38))]).unwrap();
    assert_eq!((layout.num, layout.method), (0x28, None));
}

#[test]
fn neighbours_that_disagree_are_not_believed() {
    assert_eq!(bio(&[("BIO_get_shutdown", &int(0x2c)), ("BIO_get_data", &load(0x48))]), None);
    let disagreeing: [Accessor<'_>; 3] = [
        ("BIO_get_shutdown", &int(0x2c)),
        ("BIO_get_retry_reason", &int(0x30)),
        ("BIO_get_data", &load(0x40)),
    ];
    assert_eq!(bio(&disagreeing), None);
    assert_eq!(bio(&[("BIO_get_shutdown", &int(0x2c))]), None, "one witness is not enough");
}
