//! The translation against libpcap's own interpreter, over many expressions and packets, in the kernel.

use super::classic::{self, Instruction};
use super::expression::{self, asks_for_vlan};
use super::translate::{Accept, View, translate};
use super::{LinkType, check, load};
use libbpf_rs::libbpf_sys::{self, bpf_insn};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

const EXPRESSIONS: &[&str] = &[
    "tcp",
    "udp",
    "ip",
    "ip6",
    "arp",
    "icmp or icmp6",
    "tcp port 443",
    "port 53",
    "src port 80",
    "tcp dst port 8080",
    "udp portrange 1000-2000",
    "portrange 0-1023",
    "host 10.1.2.3",
    "src host 10.1.2.3 and dst port 443",
    "net 10.0.0.0/8",
    "not net 192.168.0.0/16",
    "ip6 host 2001:db8::1",
    "net 2001:db8::/32",
    "host 10.1.2.3 or host 10.1.2.4 or ip6 host 2001:db8::2",
    "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0",
    "tcp[13] = 2",
    "tcp[20:4] = 0x47455420",
    "tcp[((tcp[12] & 0xf0) >> 2):4] = 0x47455420",
    "ip[2:2] > 100",
    "ip[8] < 64",
    "ip[0] & 0xf != 5",
    "ip6[6] = 6",
    "ether[12:2] = 0x0800",
    "ether[0] & 1 = 1",
    "ether host 02:00:00:00:00:01",
    "ether proto 0x86dd",
    "broadcast",
    "multicast",
    "ip multicast",
    "less 100",
    "greater 100",
    "len > 60 and len <= 200",
    "len / 3 * 3 = len",
    "ip proto 6",
    "vlan",
    "vlan 100",
    "vlan and tcp port 443",
    "vlan 100 and vlan 200 and ip",
    "mpls",
    "pppoes and ip",
    "ip and ip[6:2] & 0x1fff = 0",
    "(tcp or udp) and not port 22 and (net 10.0.0.0/8 or ip6)",
    "ip[ip[0]] = 0",
    "ether[ip[2]:2] = 0x0800",
    "ether[tcp[0]:4] != 0",
    "ip[0] << 2 = 276",
    "tcp[2:2] % 7 = 1",
    "tcp[2:2] - tcp[0:2] > 0x80000000",
    "udp[4:2] ^ 0xffff = 0xffe7",
    "len != 0xffffffff",
    "tcp[4:4] > 0x80000000",
    "icmp[0] = 8",
    "sctp port 5",
    "ip host 255.255.255.255",
];

/// Rights to load programs; as in the end-to-end tests a run can insist on them.
fn bpf_is_possible() -> bool {
    let answer = load(&translate(&[ret(0)], PLAIN, Accept::Return(1)).unwrap());
    if let Err(error) = &answer {
        let required = std::env::var_os("ECAPTURE_REQUIRE_BPF").is_some_and(|value| value == "1");
        assert!(!required, "ECAPTURE_REQUIRE_BPF=1, but programs cannot be loaded: {error}");
        eprintln!("skipped: programs cannot be loaded: {error}");
    }
    answer.is_ok()
}

const PLAIN: View = View { tags: false, in_place: true };
const VIEWS: [View; 3] = [
    PLAIN,
    View { tags: false, in_place: false },
    // No packet of these tests has a tag beside it: the other half must not matter.
    View { tags: true, in_place: true },
];
const TAKEN: i32 = 7;
const LEFT: u32 = u32::MAX;

fn ret(k: u32) -> Instruction {
    Instruction { code: 0x06, jump_true: 0, jump_false: 0, k }
}

/// What the kernel's run of a program returns for a packet.
fn run(program: &OwnedFd, packet: &[u8]) -> io::Result<u32> {
    let mut opts = libbpf_sys::bpf_test_run_opts {
        sz: size_of::<libbpf_sys::bpf_test_run_opts>() as _,
        data_in: packet.as_ptr().cast(),
        data_size_in: packet.len() as u32,
        repeat: 1,
        ..Default::default()
    };
    // SAFETY: the packet is valid for the call and no output is asked for.
    let error = unsafe { libbpf_sys::bpf_prog_test_run_opts(program.as_raw_fd(), &raw mut opts) };
    if error == 0 { Ok(opts.retval) } else { Err(io::Error::from_raw_os_error(-error)) }
}

fn programs(classic: &[Instruction]) -> Vec<OwnedFd> {
    VIEWS
        .iter()
        .map(|view| {
            let code: Vec<bpf_insn> =
                translate(classic, *view, Accept::Return(TAKEN)).expect("it can be translated");
            load(&code).unwrap_or_else(|error| panic!("{view:?} of {classic:?}: {error}"))
        })
        .collect()
}

/// Packets that resemble real ones, so that filters get beyond their first test.
fn packet() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop::sample::select(vec![0x0800_u16, 0x0800, 0x86dd, 0x0806, 0x8847, 0x8864]);
    let ports = prop::sample::select(vec![53_u16, 80, 443, 1500, 8080, 40000]);
    let protocol = prop::sample::select(vec![6_u8, 17, 1, 58, 0, 44, 60, 51, 132]);
    let tags = prop::collection::vec(prop::sample::select(vec![100_u16, 200, 300]), 0..3);
    (
        (kind, protocol, ports.clone(), ports, tags),
        (5_u8..9, any::<bool>(), any::<bool>(), 0..3_u8),
        prop::collection::vec(any::<u8>(), 0..200),
        0..400_usize,
    )
        .prop_map(
            |((kind, protocol, from, to, tags), (ihl, fragment, group, host), rest, len)| {
                let mut bytes = vec![if group { 0xff } else { 2 }; 6];
                bytes.extend_from_slice(&[2, 0, 0, 0, 0, 1]);
                // The kernel's test runs want more than an Ethernet header, and all of an IP header.
                let least =
                    if tags.is_empty() && matches!(kind, 0x0800 | 0x86dd) { 54 } else { 15 };
                for tag in tags {
                    bytes.extend_from_slice(&[0x81, 0x00]);
                    bytes.extend_from_slice(&tag.to_be_bytes());
                }
                bytes.extend_from_slice(&kind.to_be_bytes());
                match kind {
                    0x0800 => {
                        let mut ip = vec![0; usize::from(ihl) * 4];
                        ip[0] = 0x40 | ihl;
                        ip[2] = rest.len() as u8;
                        ip[6] = if fragment { 0x20 } else { 0 };
                        ip[7] = if fragment { rest.len() as u8 & 1 } else { 0 };
                        ip[8] = 64 - host;
                        ip[9] = protocol;
                        ip[12..16].copy_from_slice(&[10, 1, 2, 2 + host]);
                        ip[16..20].copy_from_slice(&[192, 168, 0, host]);
                        bytes.extend_from_slice(&ip);
                    }
                    0x86dd => {
                        let mut ip = [0; 40];
                        ip[0] = 0x60;
                        ip[6] = protocol;
                        ip[8..12].copy_from_slice(&[0x20, 1, 0x0d, 0xb8]);
                        ip[23] = host;
                        bytes.extend_from_slice(&ip);
                    }
                    _ => {}
                }
                bytes.extend_from_slice(&from.to_be_bytes());
                bytes.extend_from_slice(&to.to_be_bytes());
                bytes.extend_from_slice(&rest);
                bytes.resize(bytes.len().max(least), 0);
                // Cut anywhere: a load beyond the end must reject.
                bytes.truncate(len.max(least));
                bytes
            },
        )
}

fn packets(count: usize) -> Vec<Vec<u8>> {
    let mut runner = TestRunner::new(Config::default());
    (0..count).map(|_| packet().new_tree(&mut runner).unwrap().current()).collect()
}

#[test]
fn the_kernel_takes_the_packets_that_libpcap_takes() {
    if !bpf_is_possible() {
        return;
    }
    let packets = packets(300);
    let mut taken = 0;
    for expression in EXPRESSIONS {
        let compiled = expression::compile(expression, LinkType::Ethernet).unwrap();
        let programs = programs(&classic::instructions(&compiled).unwrap());
        for packet in &packets {
            let expected = compiled.filter(packet);
            taken += usize::from(expected);
            for (program, view) in programs.iter().zip(VIEWS) {
                let answer = run(program, packet).unwrap();
                let expected = if expected { TAKEN as u32 } else { LEFT };
                assert_eq!(answer, expected, "{expression:?} with {view:?} on {packet:02x?}");
            }
        }
    }
    // Neither all nor none: otherwise nothing was compared.
    let all = EXPRESSIONS.len() * packets.len();
    assert!((all / 50..all - all / 50).contains(&taken), "{taken} of {all}");
}

/// Instructions of any kind with operands that matter, as libpcap's validator takes them.
fn instruction() -> impl Strategy<Value = Instruction> {
    let k = prop_oneof![
        Just(0_u32),
        1..70_u32,
        Just(0x7fff_ffff_u32),
        Just(0x8000_0000_u32),
        Just(u32::MAX),
        any::<u32>()
    ];
    let codes: Vec<u16> = vec![
        0x20, 0x28, 0x30, 0x40, 0x48, 0x50, 0x00, 0x80, 0x01, 0x81, 0xb1, 0x60, 0x61, 0x02, 0x03,
        0x04, 0x0c, 0x14, 0x1c, 0x24, 0x2c, 0x34, 0x3c, 0x44, 0x4c, 0x54, 0x5c, 0x64, 0x6c, 0x74,
        0x7c, 0x84, 0x94, 0x9c, 0xa4, 0xac, 0x15, 0x1d, 0x25, 0x2d, 0x35, 0x3d, 0x45, 0x4d, 0x07,
        0x87, 0x06, 0x16,
    ];
    (prop::sample::select(codes), 0..4_u8, 0..4_u8, k).prop_map(|(code, t, f, k)| {
        let k = match code {
            0x60 | 0x61 | 0x02 | 0x03 => k % classic::MEMORY,
            0x64 | 0x74 => k % 32,
            0x34 | 0x94 => k.max(1),
            // Otherwise most loads would end the program.
            0x20 | 0x28 | 0x30 | 0x40 | 0x48 | 0x50 | 0xb1 if k > 70 => k % 70,
            _ => k,
        };
        Instruction { code, jump_true: t, jump_false: f, k }
    })
}

/// libpcap's interpreter, which defines what an instruction means.
fn interpret(classic: &[Instruction], packet: &[u8]) -> bool {
    /// `struct bpf_insn` of pcap/bpf.h
    #[repr(C)]
    struct Raw(u16, u8, u8, u32);
    #[link(name = "pcap")]
    unsafe extern "C" {
        fn bpf_filter(program: *const Raw, packet: *const u8, wire: u32, captured: u32) -> u32;
    }
    let raw: Vec<Raw> = classic
        .iter()
        .map(|instruction| {
            let Instruction { code, jump_true, jump_false, k } = *instruction;
            Raw(code, jump_true, jump_false, k)
        })
        .collect();
    let len = packet.len() as u32;
    // SAFETY: the program ends with a return and its jumps stay inside; the lengths are the packet's.
    unsafe { bpf_filter(raw.as_ptr(), packet.as_ptr(), len, len) != 0 }
}

#[test]
fn any_program_means_what_libpcap_says() {
    if !bpf_is_possible() {
        return;
    }
    let packets = packets(20);
    let mut runner = TestRunner::new(Config::with_cases(400));
    let programs_of = prop::collection::vec(instruction(), 1..24);
    runner
        .run(&programs_of, |mut classic| {
            // Enough returns at the end for every jump to arrive.
            let body = classic.len();
            classic.extend([ret(1), ret(0), ret(65535), ret(1), ret(0)]);
            for (index, instruction) in classic[..body].iter_mut().enumerate() {
                if instruction.code == 0x05 {
                    instruction.k = (instruction.k % 4).min((body - index) as u32);
                }
            }
            // Uninitialised scratch memory is no value: libpcap's own programs write it first.
            let mut written = [false; classic::MEMORY as usize];
            for instruction in &mut classic {
                let slot = instruction.k as usize;
                match instruction.code {
                    0x02 | 0x03 => written[slot] = true,
                    0x60 | 0x61 if !written[slot] => {
                        *instruction = Instruction { code: 0x80, ..ret(0) }
                    }
                    _ => {}
                }
            }
            let skips_a_store = classic.iter().any(|i| i.class() == classic::CLASS_JMP)
                && classic.iter().any(|i| matches!(i.code, 0x60 | 0x61));
            prop_assume!(!skips_a_store);
            let programs = programs(&classic);
            for packet in &packets {
                let expected = interpret(&classic, packet);
                for (program, view) in programs.iter().zip(VIEWS) {
                    let answer = run(program, packet).unwrap();
                    let expected = if expected { TAKEN as u32 } else { LEFT };
                    prop_assert_eq!(
                        answer,
                        expected,
                        "{:?} of {:?} on {:02x?}",
                        view,
                        classic,
                        packet
                    );
                }
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn wrong_expressions_are_told_with_libpcaps_words_and_the_place() {
    for (expression, wrong, words) in [
        ("tcp prot 80", "prot", ""),
        ("tcp port 80 adn host 10.0.0.1", "adn", ""),
        ("host 10.0.0.1 and (port 80 or", "", "syntax error"),
        ("tcp port 99999", "99999", ""),
        ("ether host 1.2.3.4.5", "1.2.3.4.5", ""),
        ("tcp and and udp", "and udp", "syntax error"),
        ("net 10.0.0.1/8", "10.0.0.1/8", "non-network bits"),
    ] {
        let error = check(expression, LinkType::Ethernet).unwrap_err();
        let at = expression.rfind(wrong).filter(|_| !wrong.is_empty()).unwrap_or(expression.len());
        assert_eq!(error.at, Some(at), "{error}");
        assert!(error.reason.contains(words), "{error}");
        let text = error.to_string();
        let mut lines = text.lines().rev();
        assert_eq!(lines.next().unwrap().trim_end().len(), 4 + at + 1, "{text}");
        assert!(lines.next().unwrap().ends_with(expression), "{text}");
    }
}

#[test]
fn an_expression_for_ethernet_may_make_no_sense_elsewhere() {
    assert!(check("ether host 02:00:00:00:00:01", LinkType::Ethernet).is_ok());
    assert!(check("ether host 02:00:00:00:00:01", LinkType::Raw).is_err());
    assert!(check("tcp port 443", LinkType::Raw).is_ok());
}

#[test]
fn vlans_are_asked_for_by_the_word() {
    assert!(asks_for_vlan("tcp and (vlan)") && asks_for_vlan("vlan 100&&ip"));
    assert!(!asks_for_vlan("host vlan-gateway") && !asks_for_vlan("host myvlan"));
}

#[test]
fn an_expression_that_needs_a_loop_is_refused_with_the_reason() {
    let compiled = expression::compile("ip6 protochain 17", LinkType::Ethernet).unwrap();
    let classic = classic::instructions(&compiled).unwrap();
    let error = translate(&classic, PLAIN, Accept::Return(1)).unwrap_err();
    assert!(error.to_string().contains("loops"), "{error}");
}

#[test]
fn programs_that_cannot_be_run_are_refused() {
    let jump = Instruction { code: 0x05, jump_true: 0, jump_false: 0, k: 9 };
    let unknown = Instruction { code: 0xe4, jump_true: 0, jump_false: 0, k: 0 };
    let beyond = Instruction { code: 0x02, jump_true: 0, jump_false: 0, k: classic::MEMORY };
    for program in [&[jump, ret(1)][..], &[unknown, ret(1)], &[beyond, ret(1)], &[], &[unknown]] {
        assert!(translate(program, PLAIN, Accept::Return(1)).is_err(), "{program:?}");
    }
}
