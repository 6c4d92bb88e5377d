//! Compiles the BPF programs, each in the variants that kernels need.

use libbpf_cargo::SkeletonBuilder;
use std::ffi::OsString;
use std::path::PathBuf;
use std::{env, error, process};

/// Each program source, the object it becomes, and what is defined for it.
const OBJECTS: &[(&str, &str, &[&str])] = &[
    ("src/tls/tls.bpf.c", "tls.bpf.o", &[]),
    ("src/tls/tls.bpf.c", "tls_no_loop.bpf.o", &["-DWITHOUT_LOOP"]),
    ("src/tls/tls.bpf.c", "tls_no_ringbuf.bpf.o", &["-DWITHOUT_LOOP", "-DWITHOUT_RINGBUF"]),
    ("src/shell/shell.bpf.c", "shell.bpf.o", &[]),
    ("src/shell/shell.bpf.c", "shell_no_loop.bpf.o", &["-DWITHOUT_LOOP"]),
    ("src/shell/shell.bpf.c", "shell_no_btf.bpf.o", &["-DWITHOUT_BTF"]),
    ("src/shell/shell.bpf.c", "shell_no_btf_loop.bpf.o", &["-DWITHOUT_BTF", "-DWITHOUT_LOOP"]),
    // The same without CO-RE relocations, for kernels that do not describe their types.
    ("src/tls/tls.bpf.c", "tls_no_btf.bpf.o", &["-DWITHOUT_BTF"]),
    ("src/tls/tls.bpf.c", "tls_no_btf_loop.bpf.o", &["-DWITHOUT_BTF", "-DWITHOUT_LOOP"]),
    (
        "src/tls/tls.bpf.c",
        "tls_no_btf_ringbuf.bpf.o",
        &["-DWITHOUT_BTF", "-DWITHOUT_LOOP", "-DWITHOUT_RINGBUF"],
    ),
    ("src/packets/packets.bpf.c", "packets.bpf.o", &[]),
    ("src/packets/packets.bpf.c", "packets_no_btf.bpf.o", &["-DWITHOUT_BTF"]),
    ("src/keys/keys.bpf.c", "keys.bpf.o", &[]),
    ("src/keys/keys.bpf.c", "keys_no_ringbuf.bpf.o", &["-DWITHOUT_RINGBUF"]),
    ("src/keys/keys.bpf.c", "keys_no_btf.bpf.o", &["-DWITHOUT_BTF"]),
    ("src/keys/keys.bpf.c", "keys_no_btf_ringbuf.bpf.o", &["-DWITHOUT_BTF", "-DWITHOUT_RINGBUF"]),
    ("src/database/database.bpf.c", "database.bpf.o", &[]),
    ("src/database/database.bpf.c", "database_no_loop.bpf.o", &["-DWITHOUT_LOOP"]),
    ("src/database/database.bpf.c", "database_no_btf.bpf.o", &["-DWITHOUT_BTF"]),
    (
        "src/database/database.bpf.c",
        "database_no_btf_loop.bpf.o",
        &["-DWITHOUT_BTF", "-DWITHOUT_LOOP"],
    ),
];

fn main() {
    println!("cargo::rerun-if-changed=src/include");
    println!("cargo::rerun-if-changed=src/gotls");
    println!("cargo::rerun-if-changed=src/tls/ring_buffer.h");
    println!("cargo::rerun-if-changed=src/database/query.h");
    println!("cargo::rerun-if-changed=src/tls/perf_buffer.h");
    println!("cargo::rerun-if-changed=src/shell/shell.h");
    println!("cargo::rerun-if-changed=src/shell/task.h");
    for header in ["packets.h", "headers.h", "owner.h"] {
        println!("cargo::rerun-if-changed=src/packets/{header}");
    }
    println!("cargo::rerun-if-changed=build.rs");
    for (source, object, defines) in OBJECTS {
        println!("cargo::rerun-if-changed={source}");
        if let Err(error) = compile(source, object, defines) {
            eprintln!(
                "cannot compile {source}: {error:#}\nIs clang installed? script/bootstrap installs what the build needs."
            );
            process::exit(1);
        }
    }
}

fn compile(source: &str, object: &str, defines: &[&str]) -> Result<(), Box<dyn error::Error>> {
    let arch = env::var("CARGO_CFG_TARGET_ARCH")?;
    let out = PathBuf::from(env::var("OUT_DIR")?).join(object);
    let mut args: Vec<OsString> = vec![
        "-mcpu=v2".into(),
        "-Wall".into(),
        "-Werror".into(),
        "-Isrc/include".into(),
        "-Isrc".into(),
    ];
    // Debian keeps <asm/*.h> in a folder that clang does not search for the BPF target.
    args.push(format!("-I/usr/include/{arch}-linux-gnu").into());
    // And for another machine than this one here (libc6-dev-arm64-cross).
    args.push(format!("-I/usr/{arch}-linux-gnu/include").into());
    args.extend(defines.iter().map(OsString::from));
    SkeletonBuilder::new().source(source).obj(&out).clang_args(args).build()?;
    Ok(())
}
