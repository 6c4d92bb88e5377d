//! Hostile files: whatever the bytes, no panic, and an answer in bounded time.

use crate::fixture::Fixture;
use crate::keys::LABELS;
use crate::keys::tests::logging_library;
use crate::{
    Interface, Options, Placement, Shell, analyze_shell, carries_tls, is_shell, keys,
    keys_for_version, libcrypto_layout, version_string,
};
use iced_x86::code_asm::{CodeAssembler, *};
use proptest::collection::vec;
use proptest::prelude::*;
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// A library with something for every part of the analysis.
fn library() -> Vec<u8> {
    let wrapper = |a: &mut CodeAssembler| {
        let mut out = a.create_label();
        a.endbr64().unwrap();
        a.sub(rsp, 0x18).unwrap();
        a.test(edx, edx).unwrap();
        a.js(out).unwrap();
        a.mov(rcx, rsp).unwrap();
        a.call(0x1000).unwrap();
        a.test(eax, eax).unwrap();
        a.jle(out).unwrap();
        a.mov(eax, dword_ptr(rsp)).unwrap();
        a.set_label(&mut out).unwrap();
        a.add(rsp, 0x18).unwrap();
        a.ret().unwrap();
    };
    let accessor = |a: &mut CodeAssembler| {
        a.mov(rax, qword_ptr(rdi + 0x10)).unwrap();
        a.ret().unwrap();
    };
    [
        "SSL_read",
        "SSL_read_ex",
        "SSL_write",
        "SSL_write_ex2",
        "SSL_peek",
        "SSL_free",
        "gnutls_record_recv",
        "gnutls_record_send",
        "gnutls_record_send2",
        "gnutls_packet_get",
        "SSL_ImportFD",
        "SSL_OptionSet",
        "PR_GetDefaultIOMethods",
        "PR_EmulateSendFile",
        "read_command",
        "zleentry",
        "readline",
        "_Z16dispatch_commandP3THDPK8COM_DATA19enum_server_command",
        "thd_query_string",
        "pgstat_report_activity",
        "PostgresMain",
    ]
    .into_iter()
    .fold(Fixture::new(), |fixture, name| fixture.function(name, wrapper))
    .function("SSL_get_rbio", accessor)
    .function("SSL_get_wbio", accessor)
    .function("BIO_get_shutdown", accessor)
    .function("BIO_get_data", accessor)
    .function("thd_get_thread_id", accessor)
    .elf()
}

/// Strings that make the search for keys look at code.
fn labelled() -> Fixture {
    let mut strings = LABELS.join("\0").into_bytes();
    strings.push(0);
    Fixture::new().bytes("strings", strings, 0)
}

fn analyse_everything(bytes: &[u8]) {
    let start = used();
    let _ = carries_tls(bytes);
    let _ = libcrypto_layout(bytes);
    let _ = version_string(bytes);
    let _ = (crate::carries_mysqld(bytes), crate::carries_postgres(bytes));
    let _ = crate::plan_mysqld(bytes, &crate::ServerOptions::default());
    let _ = crate::plan_postgres(bytes, &crate::ServerOptions::default());
    for shell in [Shell::Bash, Shell::Zsh, Shell::Readline] {
        let _ = is_shell(bytes, shell);
        let _ = analyze_shell(bytes, shell);
    }
    let _ = crate::carries_go(bytes);
    let _ = crate::analyze_go(bytes, Placement::Auto);
    let _ = keys(bytes);
    let _ = keys_for_version(bytes, "openssl 1.0.2u");
    for placement in [Placement::Auto, Placement::Entry] {
        for avoid_uretprobe in [false, true] {
            // The search is the same wherever the probes go.
            let keys = avoid_uretprobe && placement == Placement::Auto;
            for interface in Interface::ALL {
                let _ = interface.test()(bytes);
                let _ = interface.analyze(bytes, Options { placement, avoid_uretprobe, keys });
            }
        }
    }
    let used = used().saturating_sub(start);
    assert!(used < Duration::from_secs(5), "took {used:?}");
}

/// What this thread has used of the processor: other programs don't count.
fn used() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap()
}

proptest! {
    #[test]
    fn bytes_after_the_magic_do_no_harm(tail in vec(any::<u8>(), 0..2048)) {
        let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
        bytes.extend(tail);
        analyse_everything(&bytes);
    }

    #[test]
    fn a_library_with_flipped_bytes_does_no_harm(
        flips in vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
    ) {
        for mut bytes in [library(), logging_library().elf()] {
            for (at, value) in &flips {
                let at = at.index(bytes.len());
                bytes[at] = *value;
            }
            analyse_everything(&bytes);
        }
    }

    #[test]
    fn a_library_with_a_wild_table_does_no_harm(
        field in 0usize..40,
        value in prop_oneof![any::<u64>(), 0u64..0x20_000, Just(u64::MAX)],
        end in any::<prop::sample::Index>(),
    ) {
        for mut bytes in [library(), logging_library().elf()] {
        // Program headers, or the dynamic entries and symbols at the end of the file.
        let tables = bytes.len() - 40 * 8;
        for base in [64, tables] {
            let at = base + field * 8;
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        analyse_everything(&bytes);
        bytes.truncate(end.index(bytes.len()));
        analyse_everything(&bytes);
        }
    }
}

/// The same with AArch64 code: whatever the words, each has a meaning.
#[test]
fn words_made_to_be_dear_are_given_up_in_time() {
    let mut bytes = logging_library().elf();
    bytes[18] = 183;
    for word in [0x5400_0040u32, 0x1400_0001, 0x9000_0001, 0xd61f_0000, 0xf940_0421, 0x9280_0001] {
        let mut hostile = bytes.clone();
        for at in (0x1000..0x2000).chain(0x3000..hostile.len() & !3).step_by(4) {
            if at + 400 < hostile.len() {
                hostile[at..at + 4].copy_from_slice(&word.to_le_bytes());
            }
        }
        analyse_everything(&hostile);
    }
}

/// The largest function that is looked into, full of what is dear to follow.
#[test]
fn functions_made_to_be_dear_are_given_up_in_time() {
    // conditional jumps that double the paths; jumps out; rets; jumps to the next instruction
    let bodies: [&[u8]; 4] =
        [&[0x74, 0x01, 0x90], &[0x0f, 0x84, 0, 0, 0x10, 0], &[0xc3], &[0x75, 0x00]];
    for body in bodies {
        let code: Vec<u8> = body.iter().copied().cycle().take(4096).collect();
        let fixture = ["SSL_read", "SSL_read_ex", "SSL_write", "SSL_write_ex", "SSL_peek"]
            .into_iter()
            .fold(labelled(), |fixture, name| {
                let distance = 0x2000 - (fixture.next() as i32 + 7);
                // lea strings(%rip), %rsi
                let load = [&[0x48, 0x8d, 0x35], &distance.to_le_bytes()[..]].concat();
                let code = load.into_iter().chain(code.clone()).take(4096).collect();
                fixture.bytes(name, code, 16_384)
            });
        analyse_everything(&fixture.elf());
    }
}
