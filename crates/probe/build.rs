//! Compiles the BPF programs, each in the variants that kernels need.

use libbpf_cargo::SkeletonBuilder;
use std::ffi::OsString;
use std::path::PathBuf;
use std::{env, error, fs, io, process};

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

/// Where the headers are that the sources include.
const HEADERS: &[&str] = &[
    "src/include",
    "src/tls",
    "src/gotls",
    "src/shell",
    "src/packets",
    "src/keys",
    "src/database",
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if let Err(error) = watch_headers() {
        eprintln!("cannot list the headers of the BPF programs: {error}");
        process::exit(1);
    }
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

/// Has cargo compile again when a header changes. A new one comes with a change of what includes it.
fn watch_headers() -> io::Result<()> {
    for folder in HEADERS {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "h") {
                println!("cargo::rerun-if-changed={}", path.display());
            }
        }
    }
    Ok(())
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
    args.extend(defines.iter().map(OsString::from));
    SkeletonBuilder::new().source(source).obj(&out).clang_args(args).build()?;
    Ok(())
}
