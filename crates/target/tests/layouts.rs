//! Derived offsets against those known for each version (from the libraries' own headers).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod matrix;

struct Known {
    library: &'static str,
    rbio: u32,
    wbio: u32,
    num: u32,
    method: u32,
}

const fn known(library: &'static str, rbio: u32, wbio: u32, num: u32, method: u32) -> Known {
    Known { library, rbio, wbio, num, method }
}

const KNOWN: [Known; 10] = [
    known("openssl-1.1.0", 0x10, 0x18, 0x28, 0x0),
    known("bullseye", 0x10, 0x18, 0x30, 0x0),
    known("bookworm", 0x10, 0x18, 0x38, 0x8),
    known("trixie", 0x50, 0x58, 0x38, 0x8),
    known("sid", 0x50, 0x58, 0x38, 0x8),
    known("openssl-3-O0", 0x50, 0x58, 0x38, 0x8),
    known("openssl-4.0", 0x50, 0x58, 0x38, 0x8),
    known("android-10", 0x18, 0x20, 0x18, 0x0),
    known("android-13", 0x18, 0x20, 0x18, 0x0),
    known("android-14", 0x18, 0x20, 0x18, 0x0),
];

#[test]
fn derived_offsets_are_the_known_ones() {
    for known in KNOWN {
        let library = known.library;
        let Some(folder) = matrix::folder(library) else { continue };
        let libssl = matrix::file(&folder, "libssl.so");
        let analysis = target::analyze(&libssl, target::Placement::Auto).unwrap();
        let ssl = analysis.ssl_layout.unwrap_or_else(|| panic!("{library}: {:?}", analysis.notes));
        assert_eq!((ssl.rbio, ssl.wbio), (known.rbio, known.wbio), "{library}");
        let bio = target::libcrypto_layout(&matrix::file(&folder, "libcrypto.so")).unwrap();
        assert_eq!((bio.num, bio.method), (known.num, Some(known.method)), "{library}");
    }
}

#[test]
fn versions_are_in_libcrypto() {
    let versions = [
        ("bullseye", "OpenSSL 1.1.1w"),
        ("bookworm", "OpenSSL 3.0."),
        ("trixie", "OpenSSL 3.5."),
        ("sid", "OpenSSL 3."),
        ("android-13", "BoringSSL"),
        ("openssl-1.1.0", "OpenSSL 1.1.0"),
        ("openssl-4.0", "OpenSSL 4.0."),
    ];
    for (library, expected) in versions {
        let Some(folder) = matrix::folder(library) else { continue };
        let found = target::version_string(&matrix::file(&folder, "libcrypto.so"));
        assert!(found.as_ref().is_some_and(|v| v.starts_with(expected)), "{library}: {found:?}");
    }
}

#[test]
fn a_libcrypto_is_no_tls_library() {
    let Some(folder) = matrix::folder("bookworm") else { return };
    let bytes = matrix::file(&folder, "libcrypto.so");
    assert!(!target::carries_tls(&bytes));
    let result = target::analyze(&bytes, target::Placement::Auto);
    assert_eq!(result, Err(target::Error::NoTlsFunctions));
}
