//! The plans for real libraries, as tables. They hold what a security update of the library
//! should not change: no addresses, no build-ids.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod matrix;

use std::fmt::Write;
use target::{
    Analysis, Error, Exit, Interface, NoMethods, Options, Placement, PlacementKind, ResultStyle,
    Site,
};

/// A row of the matrix and the release that its table was made for.
struct Library {
    name: &'static str,
    release: &'static str,
    libssl: &'static str,
    libcrypto: &'static str,
}

/// A suite's shared libraries.
const fn suite(name: &'static str, release: &'static str) -> Library {
    Library { name, release, libssl: "libssl.so", libcrypto: "libcrypto.so" }
}

fn golden(library: &Library) {
    let Some(folder) = matrix::folder(library.name) else { return };
    let bytes = matrix::file(&folder, library.libssl);
    assert!(target::carries_tls(&bytes), "{}", library.name);
    let libcrypto = matrix::file(&folder, library.libcrypto);
    let version = target::version_string(&libcrypto).expect("libcrypto names its version");
    let mut table = String::new();
    for (title, options) in [
        ("auto", Options::default()),
        ("auto, no uretprobes", Options { avoid_uretprobe: true, ..Options::default() }),
    ] {
        let analysis = target::analyze_with(&bytes, options).unwrap();
        check_sites(&bytes, &analysis);
        if table.is_empty() {
            describe(&mut table, &analysis);
        }
        writeln!(table, "\n{title}:").unwrap();
        rows(&mut table, &analysis);
    }
    let bio = target::libcrypto_layout(&libcrypto);
    writeln!(table, "\nlibcrypto: {bio:?}").unwrap();
    if version.starts_with(library.release) {
        insta::assert_snapshot!(library.name, table);
    } else {
        // Suites move on to new releases; what must hold in any plan has been checked above.
        eprintln!("{} has {version}: its table is for {}", library.name, library.release);
    }
}

/// The plan for a library with another interface than OpenSSL's.
fn golden_of(interface: Interface, name: &str, file: &str, release: &str) {
    let Some(folder) = matrix::folder(name) else { return };
    let bytes = matrix::file(&folder, file);
    for other in Interface::ALL {
        assert_eq!(other.test()(&bytes), other == interface, "{name} is no {other:?}");
    }
    let mut table = String::new();
    let mut version = None;
    for (title, options) in [
        ("auto", Options::default()),
        ("auto, no uretprobes", Options { avoid_uretprobe: true, ..Options::default() }),
    ] {
        let analysis = interface.analyze(&bytes, options).unwrap();
        check_sites(&bytes, &analysis);
        if table.is_empty() {
            writeln!(table, "{:?} {:?}", analysis.machine, analysis.family).unwrap();
            writeln!(table, "{:?} {:?}", analysis.object, analysis.transport).unwrap();
        }
        writeln!(table, "\n{title}:").unwrap();
        rows(&mut table, &analysis);
        version = analysis.version;
    }
    let version = version.expect("the library names its version");
    if version.starts_with(release) {
        insta::assert_snapshot!(name, table);
    } else {
        eprintln!("{name} has {version}: its table is for {release}");
    }
}

fn describe(table: &mut String, analysis: &Analysis) {
    writeln!(table, "{:?} {:?}", analysis.machine, analysis.family).unwrap();
    writeln!(table, "needs {}", analysis.needed.join(" ")).unwrap();
    match &analysis.ssl_layout {
        Some(layout) => writeln!(
            table,
            "rbio {:#x} wbio {:#x} zero if plain {:?}: {}",
            layout.rbio, layout.wbio, layout.zero_if_plain, layout.derivation
        ),
        None => writeln!(table, "no TLS object layout"),
    }
    .unwrap();
    writeln!(table, "bio {:?}", analysis.bio_layout).unwrap();
}

fn rows(table: &mut String, analysis: &Analysis) {
    for plan in &analysis.functions {
        let result = match plan.result {
            ResultStyle::ReturnValue { bits } => format!("returns {bits} bits"),
            ResultStyle::OutParam { arg } => format!("*arg{arg}"),
            ResultStyle::Resumable => "returns 64 bits, resumable".to_owned(),
            ResultStyle::UnlessPeek => "returns 32 bits unless it peeks".to_owned(),
            ResultStyle::Packet => "a packet".to_owned(),
            ResultStyle::CountedBefore => "counted before".to_owned(),
            ResultStyle::None => "-".to_owned(),
        };
        let exit = match &plan.exit {
            Exit::Uretprobe => "uretprobe".to_owned(),
            Exit::NotNeeded => "-".to_owned(),
            Exit::Sites(sites) => format!(
                "{} sites: {}",
                sites.len(),
                sites.iter().map(mnemonic).collect::<Vec<_>>().join(" ")
            ),
        };
        writeln!(
            table,
            "{:46} {:9} {:15} {:15} {:18} {exit}",
            plan.covers.join(" "),
            format!("{:?}", plan.op),
            result,
            format!("{:?}", plan.placement),
            mnemonic(&plan.entry),
        )
        .unwrap();
    }
    for note in &analysis.notes {
        writeln!(table, "note: {}", without_addresses(note)).unwrap();
    }
}

fn mnemonic(site: &Site) -> String {
    let name = site.instruction.split(' ').next().unwrap_or_default();
    if site.emulated { format!("{name} (emulated)") } else { name.to_owned() }
}

fn without_addresses(text: &str) -> String {
    let mut parts = text.split("0x");
    let mut masked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        masked.push_str("0x…");
        masked.push_str(part.trim_start_matches(|c: char| c.is_ascii_hexdigit()));
    }
    masked
}

/// What must hold in every plan, whatever the library.
fn check_sites(bytes: &[u8], analysis: &Analysis) {
    let mut entries = Vec::new();
    for plan in &analysis.functions {
        assert!(!entries.contains(&plan.entry.file_offset), "{} has another's entry", plan.name);
        entries.push(plan.entry.file_offset);
        let exits = match &plan.exit {
            Exit::Sites(sites) => &sites[..],
            Exit::Uretprobe | Exit::NotNeeded => &[],
        };
        for site in std::iter::once(&plan.entry).chain(exits) {
            let at = usize::try_from(site.file_offset).unwrap();
            assert!(at < bytes.len(), "{} lies in the file", plan.name);
            assert_ne!(&bytes[at..at + 5], &[0x0f, 0x1f, 0x44, 0, 0], "{}", plan.name);
        }
        if plan.placement == PlacementKind::CallSite {
            assert!(plan.entry.emulated && exits.len() == 1);
            assert!(exits[0].vaddr > plan.entry.vaddr);
        }
        if plan.placement == PlacementKind::JumpSites {
            assert!(plan.entry.emulated && exits.iter().all(|site| site.emulated));
            assert!(exits.iter().all(|site| site.vaddr > plan.entry.vaddr));
        }
    }
}

#[test]
fn bullseye_has_openssl_1_1_1() {
    golden(&suite("bullseye", "OpenSSL 1.1.1"));
}

#[test]
fn bookworm_has_openssl_3_0() {
    golden(&suite("bookworm", "OpenSSL 3.0."));
}

#[test]
fn trixie_has_openssl_3_5() {
    golden(&suite("trixie", "OpenSSL 3.5."));
}

#[test]
fn sid_has_openssl_3_6() {
    golden(&suite("sid", "OpenSSL 3.6."));
}

#[test]
fn android_10_has_a_boringssl_whose_read_peeks() {
    golden(&suite("android-10", "BoringSSL"));
}

#[test]
fn android_13_has_boringssl() {
    golden(&suite("android-13", "BoringSSL"));
}

#[test]
fn android_14_has_boringssl() {
    golden(&suite("android-14", "BoringSSL"));
}

#[test]
fn boringssl_and_aws_lc() {
    golden(&suite("boringssl-run", "BoringSSL"));
    golden(&suite("aws-lc-run", "AWS-LC"));
}

#[test]
fn openssl_1_0_2_jumps_into_its_methods() {
    golden(&Library {
        name: "wheel-openssl-1.0.2",
        release: "OpenSSL 1.0.2q",
        libssl: "libssl-",
        libcrypto: "libcrypto-",
    });
}

#[test]
fn libressl_of_its_first_release() {
    golden(&suite("libressl-2.0", "LibreSSL 2.0"));
}

#[test]
fn node_carries_openssl_statically() {
    golden(&Library { name: "node", release: "OpenSSL 3.0.12", libssl: "node", libcrypto: "node" });
}

#[test]
fn openssl_1_1_0_has_no_ex_functions() {
    golden(&suite("openssl-1.1.0", "OpenSSL 1.1.0"));
}

#[test]
fn openssl_3_built_without_optimisation() {
    golden(&suite("openssl-3-O0", "OpenSSL 3.6."));
}

#[test]
fn openssl_4_0() {
    golden(&suite("openssl-4.0", "OpenSSL 4.0."));
}

#[test]
fn arm64_gets_the_plain_placement() {
    golden(&suite("bullseye-arm64", "OpenSSL 1.1.1"));
    golden(&suite("bookworm-arm64", "OpenSSL 3.0."));
    golden(&suite("trixie-arm64", "OpenSSL 3.5."));
}

#[test]
fn gnutls_of_each_suite() {
    for (name, release) in [
        ("bullseye-gnutls", "GnuTLS 3.7.1"),
        ("bookworm-gnutls", "GnuTLS 3.7.9"),
        ("trixie-gnutls", "GnuTLS 3.8.9"),
        ("sid-gnutls", "GnuTLS 3.8.13"),
        ("bookworm-gnutls-arm64", "GnuTLS 3.7.9"),
        ("trixie-gnutls-arm64", "GnuTLS 3.8.9"),
    ] {
        golden_of(Interface::GnuTls, name, "libgnutls.so.30.", release);
    }
}

#[test]
fn the_tls_layer_of_nss_of_each_suite() {
    for (name, release) in [
        ("bullseye-nss", "NSS 3.61"),
        ("bookworm-nss", "NSS 3.87"),
        ("trixie-nss", "NSS 3.110"),
        ("sid-nss", "NSS 3.132"),
    ] {
        golden_of(Interface::Nss, name, "libssl3.so", release);
    }
}

#[test]
fn the_tls_layer_of_nss_is_not_found_on_arm64() {
    let Some(folder) = matrix::folder("bookworm-nss-arm64") else { return };
    let bytes = matrix::file(&folder, "libssl3.so");
    let refused = Interface::Nss.analyze(&bytes, Options::default()).unwrap_err();
    assert_eq!(refused, Error::NoLayer(NoMethods::Machine));
}

#[test]
fn nspr_itself_has_no_tls_layer() {
    let Some(folder) = matrix::folder("bookworm-nss") else { return };
    for name in ["libnspr4.so", "libnss3.so", "libsmime3.so"] {
        let bytes = matrix::file(&folder, name);
        assert!(!Interface::Nss.test()(&bytes), "{name}");
        assert_eq!(
            Interface::Nss.analyze(&bytes, Options::default()).unwrap_err(),
            Error::NoNss,
            "{name}"
        );
    }
}

#[test]
fn the_plain_placement_is_the_symbol_entry() {
    for library in ["bullseye", "bookworm", "trixie", "sid"] {
        let Some(folder) = matrix::folder(library) else { continue };
        let bytes = matrix::file(&folder, "libssl.so");
        let analysis = target::analyze(&bytes, Placement::Entry).unwrap();
        for name in ["SSL_read", "SSL_read_ex", "SSL_write", "SSL_write_ex"] {
            let plan = analysis.functions.iter().find(|plan| plan.name == name).unwrap();
            assert_eq!(plan.covers, [name]);
            assert_eq!(plan.exit, Exit::Uretprobe);
            assert_eq!(plan.placement, PlacementKind::EntryUretprobe);
        }
    }
}

#[test]
fn a_static_program_is_found_by_its_symtab() {
    let Some(folder) = matrix::folder("openssl-4.0") else { return };
    let bytes = matrix::file(&folder, "program");
    assert!(target::carries_tls(&bytes));
    let analysis = target::analyze(&bytes, Placement::Auto).unwrap();
    assert!(analysis.functions.iter().any(|plan| plan.op == target::Op::Read));
    assert!(analysis.ssl_layout.is_some() && analysis.bio_layout.is_some());
    assert!(analysis.version.is_some_and(|version| version.starts_with("OpenSSL 4.")));
}
