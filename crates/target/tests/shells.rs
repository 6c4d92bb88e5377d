//! The shells of every suite: exactly one call reads command lines, and everything is known.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod matrix;

use target::{Lines, Shell, analyze_shell, is_shell};

/// Where the shells are from, and the version of bash there.
const SUITES: [(&str, &str); 5] = [
    ("bullseye", "5.1"),
    ("bookworm", "5.2"),
    ("trixie", "5.2"),
    ("sid", "5.3"),
    ("readline", "5.2"),
];

fn shell(suite: &str, name: &str) -> Option<Vec<u8>> {
    let folder = matrix::folder(&format!("{suite}-shells"))?;
    let places = ["usr/bin", "bin"].map(|place| folder.join(place));
    let place = places.iter().find(|place| place.join(name).exists())?;
    Some(matrix::file(place, name))
}

#[test]
fn exactly_one_call_reads_command_lines() {
    for (suite, version) in SUITES {
        for (name, kind) in [("bash", Shell::Bash), ("zsh", Shell::Zsh)] {
            let Some(bytes) = shell(suite, name) else { continue };
            assert!(is_shell(&bytes, kind), "{suite} {name}");
            let plan = analyze_shell(&bytes, kind).unwrap();
            let Lines::Calls(calls) = &plan.lines else { panic!("{suite} {name}: {plan:?}") };
            let [call] = calls.as_slice() else { panic!("{suite} {name}: {plan:?}") };
            assert!(call.call.instruction.starts_with("call"), "{suite} {name}: {plan:?}");
            assert_eq!(call.back.vaddr - call.call.vaddr, 5, "{suite} {name}");
            assert!(plan.prompt.is_some() && plan.status.is_some(), "{suite} {name}: {plan:?}");
            assert_eq!(plan.notes, Vec::<String>::new(), "{suite} {name}");
            if kind == Shell::Bash {
                assert!(plan.version.unwrap().starts_with(version), "{suite}");
                assert!(plan.line_count.is_some() && plan.executing.is_some(), "{suite}");
            }
        }
    }
}

#[test]
fn a_shell_is_not_the_other_one() {
    let (Some(bash), Some(zsh)) = (shell("sid", "bash"), shell("sid", "zsh")) else { return };
    assert!(!is_shell(&bash, Shell::Zsh) && !is_shell(&zsh, Shell::Bash));
}

#[test]
fn a_shell_without_names_is_refused() {
    let Some(bytes) = shell("sid", "zsh-static") else { return };
    assert!(!is_shell(&bytes, Shell::Zsh));
    let error = analyze_shell(&bytes, Shell::Zsh).unwrap_err().to_string();
    assert!(error.contains("defines no zleentry"), "{error}");
}
