//! The plans for real programs that Go built: the `go` commands of Debian's packages, which do TLS
//! themselves. They hold what an update of the package should not change: no addresses.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod matrix;

use std::fmt::Write;
use target::{GoAnalysis, GoError, GoFunction, Placement, Site, analyze_go, carries_go};

/// The `go` command of a folder of the matrix.
fn command(name: &str) -> Option<Vec<u8>> {
    let folder = matrix::folder(name)?;
    let version = name.trim_end_matches("-arm64");
    Some(matrix::file(&folder.join("usr/lib").join(version).join("bin"), "go"))
}

fn table(bytes: &[u8]) -> String {
    let mut table = String::new();
    for placement in [Placement::Auto, Placement::Entry] {
        let analysis = analyze_go(bytes, placement).unwrap();
        writeln!(table, "{placement:?}: {:?} {:?}", analysis.machine, analysis.abi).unwrap();
        writeln!(table, "in {}", analysis.packages.join(" ")).unwrap();
        for function in &analysis.functions {
            check(bytes, function);
            writeln!(table, "{}", row(function)).unwrap();
        }
        for probe in &analysis.keys.probes {
            let check = if probe.at_stack_check { " at the stack check" } else { "" };
            writeln!(table, "{:44} keys: {}{check}", probe.name, mnemonic(&probe.entry)).unwrap();
        }
        for note in &analysis.notes {
            writeln!(table, "note: {note}").unwrap();
        }
        writeln!(table).unwrap();
    }
    table
}

fn row(function: &GoFunction) -> String {
    let mut row = format!("{:44} {}", function.name, mnemonic(&function.entry));
    if function.at_stack_check {
        row += " at the stack check";
    }
    if function.receiver_at_copy.is_some() {
        row += " of memmove";
    }
    if !function.exits.is_empty() {
        let exits: Vec<String> = function.exits.iter().map(mnemonic).collect();
        write!(row, "; {}", exits.join(" ")).unwrap();
    }
    if function.arguments_at_exit {
        row += ", arguments on the stack";
    }
    row
}

fn mnemonic(site: &Site) -> String {
    let name = site.instruction.split(' ').next().unwrap_or_default();
    let emulated = if site.emulated { " (emulated)" } else { "" };
    format!("{name}{emulated}")
}

/// What must hold in every plan.
fn check(bytes: &[u8], function: &GoFunction) {
    for site in std::iter::once(&function.entry).chain(&function.exits) {
        assert!(site.file_offset < bytes.len() as u64, "{} lies in the file", function.name);
    }
    for exit in &function.exits {
        let at = usize::try_from(exit.file_offset).unwrap();
        // e_machine
        let ret: &[u8] = if bytes[18] == 62 { &[0xc3] } else { &[0xc0, 0x03, 0x5f, 0xd6] };
        assert_eq!(exit.instruction, "ret", "{}", function.name);
        assert_eq!(&bytes[at..at + ret.len()], ret, "{}", function.name);
    }
}

fn golden(name: &str) {
    let Some(bytes) = command(name) else { return };
    assert!(carries_go(&bytes), "{name}");
    insta::assert_snapshot!(name, table(&bytes));
}

#[test]
fn go_1_15_has_its_arguments_on_the_stack() {
    golden("go-1.15");
}

#[test]
fn go_1_19_has_them_in_registers() {
    golden("go-1.19");
}

#[test]
fn go_1_24() {
    golden("go-1.24");
}

#[test]
fn go_1_26_does_not_say_where_its_code_starts() {
    golden("go-1.26");
}

#[test]
fn go_1_27() {
    golden("go-1.27");
}

#[test]
fn arm64_gets_the_begin_and_each_ret() {
    golden("go-1.24-arm64");
}

fn without_build_id(analysis: GoAnalysis) -> GoAnalysis {
    GoAnalysis { build_id: None, ..analysis }
}

#[test]
fn a_program_without_section_headers_has_the_same_plan() {
    for name in ["go-1.15", "go-1.19", "go-1.27"] {
        let Some(mut bytes) = command(name) else { return };
        let with = analyze_go(&bytes, Placement::Auto).unwrap();
        bytes[40..48].fill(0);
        bytes[60..64].fill(0);
        assert!(carries_go(&bytes), "{name}");
        let without = analyze_go(&bytes, Placement::Auto).unwrap();
        assert_eq!(without_build_id(without), without_build_id(with), "{name}");
    }
}

#[test]
fn the_version_is_not_needed() {
    let Some(mut bytes) = command("go-1.24") else { return };
    let with = analyze_go(&bytes, Placement::Auto).unwrap();
    assert!(with.version.as_ref().is_some_and(|version| version.starts_with("go1.24")));
    let magic = b"\xff Go buildinf:";
    let places: Vec<usize> = bytes
        .windows(magic.len())
        .enumerate()
        .filter(|(_, w)| w == magic)
        .map(|(i, _)| i)
        .collect();
    for at in places {
        bytes[at..at + magic.len()].fill(b'x');
    }
    let without = analyze_go(&bytes, Placement::Auto).unwrap();
    assert_eq!(without, GoAnalysis { version: None, ..with });
}

#[test]
fn a_program_that_does_no_tls_says_so() {
    let Some(folder) = matrix::folder("go-1.24") else { return };
    let bytes = matrix::file(&folder.join("usr/lib/go-1.24/bin"), "gofmt");
    assert!(carries_go(&bytes));
    let error = analyze_go(&bytes, Placement::Auto).unwrap_err();
    assert!(matches!(error, GoError::NoTls { functions } if functions > 1000), "{error}");
}
