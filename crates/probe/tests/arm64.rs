//! The BPF programs compile for arm64, in every variant, on whatever machine this is.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use libbpf_rs::libbpf_sys;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What arm64's `asm/ptrace.h` declares, which only packages for that machine have.
const REGISTERS: &str = "\
#include <linux/types.h>
struct user_pt_regs {
	__u64 regs[31];
	__u64 sp;
	__u64 pc;
	__u64 pstate;
};
";

/// What `build.rs` defines for older kernels: each word, and all of them.
const VARIANTS: [&[&str]; 4] = [
    &[],
    &["-DWITHOUT_LOOP"],
    &["-DWITHOUT_LOOP", "-DWITHOUT_RINGBUF"],
    &["-DWITHOUT_BTF", "-DWITHOUT_LOOP", "-DWITHOUT_RINGBUF"],
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.to_string_lossy().ends_with(".bpf.c") {
            found.push(path);
        }
    }
    found
}

#[test]
fn every_program_compiles_for_arm64() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join("arm64");
    fs::create_dir_all(scratch.join("bpf")).unwrap();
    for (name, content) in libbpf_sys::API_HEADERS {
        fs::write(scratch.join("bpf").join(name), content).unwrap();
    }
    let registers = scratch.join("registers.h");
    fs::write(&registers, REGISTERS).unwrap();
    let sources = sources(&root.join("src"));
    assert!(sources.len() >= 5, "{sources:?}");
    for source in &sources {
        for variant in VARIANTS {
            let mut clang = Command::new("clang");
            clang.current_dir(root).args(["-target", "bpf", "-g", "-O2", "-mcpu=v2", "-c"]);
            clang.args(["-Wall", "-Werror", "-D__TARGET_ARCH_arm64", "-Isrc/include", "-Isrc"]);
            clang.arg("-I").arg(&scratch).arg("-include").arg(&registers);
            clang.arg(format!("-I/usr/include/{}-linux-gnu", std::env::consts::ARCH));
            clang.args(variant).arg(source).arg("-o").arg(scratch.join("object"));
            let output = clang.output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{} {variant:?}: {said}", source.display());
        }
    }
}
