//! Where real libraries pass their secrets, as tables without the addresses of functions, which a
//! security update moves.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod matrix;

use std::fmt::Write;
use target::{Address, Error, KeyError, KeyPlan, KeySource, Options};

/// A row of the matrix, the release that its table was made for, and where it names itself.
struct Library {
    name: &'static str,
    release: &'static str,
    libssl: &'static str,
    names_itself: &'static str,
}

const fn openssl(name: &'static str, release: &'static str) -> Library {
    Library { name, release, libssl: "libssl", names_itself: "libcrypto" }
}

const fn program(name: &'static str, release: &'static str, file: &'static str) -> Library {
    Library { name, release, libssl: file, names_itself: file }
}

const LIBRARIES: [Library; 24] = [
    openssl("wheel-openssl-1.0.2", "OpenSSL 1.0.2"),
    openssl("openssl-1.1.0", "OpenSSL 1.1.0"),
    openssl("openssl-1.1.1", "OpenSSL 1.1.1"),
    openssl("wheel-openssl-1.1.1", "OpenSSL 1.1.1"),
    openssl("bullseye", "OpenSSL 1.1.1"),
    openssl("bookworm", "OpenSSL 3.0."),
    openssl("trixie", "OpenSSL 3.5."),
    openssl("sid", "OpenSSL 3.6."),
    openssl("openssl-3-O0", "OpenSSL 3.6."),
    openssl("openssl-4.0", "OpenSSL 4.0."),
    openssl("bullseye-arm64", "OpenSSL 1.1.1"),
    openssl("bookworm-arm64", "OpenSSL 3.0."),
    openssl("trixie-arm64", "OpenSSL 3.5."),
    openssl("sid-arm64", "OpenSSL 3.6."),
    openssl("android-10", "BoringSSL"),
    openssl("android-13", "BoringSSL"),
    openssl("android-14", "BoringSSL"),
    openssl("android-10-arm64", "BoringSSL"),
    openssl("android-13-arm64", "BoringSSL"),
    openssl("android-14-arm64", "BoringSSL"),
    program("node", "OpenSSL 3.0.12", "node"),
    openssl("boringssl-run", "BoringSSL"),
    openssl("aws-lc-run", "AWS-LC"),
    program("libressl-2.0", "LibreSSL 2.0", "libssl"),
];

const GNUTLS: [&str; 7] = [
    "bullseye-gnutls",
    "bookworm-gnutls",
    "trixie-gnutls",
    "sid-gnutls",
    "bullseye-gnutls-arm64",
    "bookworm-gnutls-arm64",
    "trixie-gnutls-arm64",
];

fn table(plan: &KeyPlan) -> String {
    let mut table = String::new();
    for probe in &plan.probes {
        writeln!(table, "{} {:x?}", probe.name, probe.source).unwrap();
    }
    for evidence in &plan.evidence {
        writeln!(table, "- {}", without_functions(evidence)).unwrap();
    }
    table
}

/// Masks addresses; offsets in structs are smaller than any of a function.
fn without_functions(text: &str) -> String {
    let mut parts = text.split("0x");
    let mut masked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_hexdigit());
        let digits = &part[..part.len() - rest.len()];
        masked.push_str("0x");
        masked.push_str(if digits.len() > 4 { "…" } else { digits });
        masked.push_str(rest);
    }
    masked
}

/// The file as it is without section headers: no `.symtab`, no names of sections.
fn without_sections(bytes: &[u8]) -> Vec<u8> {
    let mut stripped = bytes.to_vec();
    stripped[40..48].fill(0);
    stripped[60..64].fill(0);
    stripped
}

#[test]
fn secrets_are_found_in_every_openssl_and_its_relatives() {
    for library in &LIBRARIES {
        let Some(folder) = matrix::folder(library.name) else { continue };
        let bytes = matrix::file(&folder, library.libssl);
        let plan = target::keys(&bytes).unwrap_or_else(|error| panic!("{}: {error}", library.name));
        for probe in &plan.probes {
            let at = usize::try_from(probe.entry.file_offset).unwrap();
            assert!(at < bytes.len(), "{}", library.name);
            if let KeySource::Logged { label, secret, secret_len, .. } = probe.source {
                assert_eq!((label, secret, secret_len), (1, 2, 3), "{}", library.name);
            }
        }
        let version = target::version_string(&matrix::file(&folder, library.names_itself));
        if version.unwrap_or_default().starts_with(library.release) {
            insta::assert_snapshot!(library.name, table(&plan));
        }
    }
}

#[test]
fn secrets_are_found_in_every_gnutls() {
    for name in GNUTLS {
        let Some(folder) = matrix::folder(name) else { continue };
        let plan = target::keys(&matrix::file(&folder, "libgnutls.so")).unwrap();
        let expected = KeySource::Logged {
            label: 1,
            client_random: Address { argument: 0, steps: vec![0x50] },
            secret: 2,
            secret_len: 3,
        };
        assert_eq!(plan.probes[0].source, expected, "{name}");
        // sid's moves on
        if !name.starts_with("sid") {
            insta::assert_snapshot!(name, table(&plan));
        }
    }
}

#[test]
fn section_headers_are_not_needed() {
    for library in &LIBRARIES {
        // its functions have only local symbols
        if library.name == "node" {
            continue;
        }
        let Some(folder) = matrix::folder(library.name) else { continue };
        let bytes = matrix::file(&folder, library.libssl);
        let whole = target::keys(&bytes);
        assert_eq!(target::keys(&without_sections(&bytes)), whole, "{}", library.name);
    }
}

/// The file as it is without unwind tables either.
fn without_unwind_tables(bytes: &[u8]) -> Vec<u8> {
    let mut stripped = without_sections(bytes);
    let headers = u64::from_le_bytes(stripped[32..40].try_into().unwrap()) as usize;
    let count = usize::from(u16::from_le_bytes(stripped[56..58].try_into().unwrap()));
    for header in stripped[headers..headers + count * 56].chunks_exact_mut(56) {
        // PT_GNU_EH_FRAME
        if header[..4] == 0x6474_e550u32.to_le_bytes() {
            header[..4].fill(0);
        }
    }
    stripped
}

#[test]
fn unwind_tables_are_not_needed() {
    for name in ["bullseye", "bookworm", "trixie", "bookworm-arm64", "android-14", "node"] {
        let Some(folder) = matrix::folder(name) else { continue };
        let bytes = matrix::file(&folder, if name == "node" { name } else { "libssl" });
        let plan = target::keys(&without_unwind_tables(&bytes))
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(plan.probes, target::keys(&bytes).unwrap().probes, "{name}");
    }
}

#[test]
fn a_stripped_program_is_read_without_any_symbol() {
    for (name, file) in [("node", "node"), ("openssl-4.0", "program"), ("openssl-1.1.1", "program")]
    {
        let Some(folder) = matrix::folder(name) else { continue };
        let bytes = matrix::file(&folder, file);
        let whole = target::keys(&bytes).unwrap();
        let stripped = target::keys(&without_sections(&bytes)).unwrap();
        assert_eq!(stripped.probes, whole.probes, "{name}");
    }
}

#[test]
fn a_stripped_program_has_keys_but_no_functions() {
    let Some(folder) = matrix::folder("openssl-4.0") else { return };
    let stripped = without_sections(&matrix::file(&folder, "program"));
    assert_eq!(
        target::analyze_with(&stripped, Options::default()).unwrap_err(),
        Error::NoTlsFunctions
    );
    let keys = Options { keys: true, ..Options::default() };
    let analysis = target::analyze_with(&stripped, keys).unwrap();
    assert!(analysis.functions.is_empty());
    assert_eq!(analysis.keys, target::keys(&stripped).ok());
    // what has no keys either has nothing to offer
    let libcrypto = matrix::file(&folder, "libcrypto.so");
    assert_eq!(target::analyze_with(&libcrypto, keys).unwrap_err(), Error::NoTlsFunctions);
}

#[test]
fn an_analysis_has_the_keys_only_if_asked_for() {
    let Some(folder) = matrix::folder("bookworm") else { return };
    let bytes = matrix::file(&folder, "libssl.so");
    let without = target::analyze_with(&bytes, Options::default()).unwrap();
    assert_eq!((without.keys, without.keys_refused), (None, None));
    let with = target::analyze_with(&bytes, Options { keys: true, ..Options::default() }).unwrap();
    assert_eq!(with.keys, target::keys(&bytes).ok());
    assert!(with.keys.is_some() && with.keys_refused.is_none());
}

#[test]
fn nss_and_what_is_no_tls_library_are_refused_with_a_reason() {
    if let Some(folder) = matrix::folder("bookworm-nss") {
        let error = target::keys(&matrix::file(&folder, "libssl3.so")).unwrap_err();
        assert!(matches!(&error, KeyError::Shape(reason) if reason.contains("key object")));
    }
    if let Some(folder) = matrix::folder("bookworm") {
        let error = target::keys(&matrix::file(&folder, "libcrypto.so")).unwrap_err();
        assert!(matches!(error, KeyError::NoLabels(_)), "{error}");
    }
}

/// What users write, and the client random that the table has for it.
const VERSIONS: [(&str, &str, &str); 9] = [
    ("wheel-openssl-1.0.2", "openssl 1.0.2q", "openssl 1.1.1w"),
    ("openssl-1.1.0", "openssl 1.1.0l", "openssl 1.0.2u"),
    ("bullseye", "openssl 1.1.1w", "openssl 3.0.12"),
    ("bookworm", "openssl 3.0.15", "openssl 3.5.0"),
    ("trixie", "openssl 3.5.7", "openssl 3.4.1"),
    ("sid", "openssl 3.6.2", "openssl 3.3.0"),
    ("openssl-4.0", "openssl 4.0.1", "boringssl_a_14"),
    ("android-14", "boringssl_a_14", "openssl 3.5.7"),
    ("bookworm-arm64", "linux_default_3_0", "linux_default_3_2"),
];

#[test]
fn a_version_that_is_asked_for_must_be_that_of_the_library() {
    for (name, right, wrong) in VERSIONS {
        let Some(folder) = matrix::folder(name) else { continue };
        let bytes = matrix::file(&folder, "libssl");
        let plan = target::keys_for_version(&bytes, right)
            .unwrap_or_else(|error| panic!("{name} as {right}: {error}"));
        assert_eq!(plan.probes, target::keys(&bytes).unwrap().probes, "{name}");
        let error = target::keys_for_version(&bytes, wrong).unwrap_err();
        assert!(matches!(error, KeyError::OtherVersion { .. }), "{name} as {wrong}: {error}");
    }
}
