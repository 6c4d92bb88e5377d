//! `programs/calls.c`: a program that calls each function that moves plaintext over its success,
//! error, retry and partial paths, and says itself what each call moved.

use crate::certificate::Certificate;
use crate::line::Direction;
use crate::peer::source;
use crate::process::{Lines, Process, command, run};
use crate::scratch::Scratch;
use crate::version::Version;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};

/// One call that moved plaintext, as the program itself saw it.
#[derive(Debug, Clone)]
pub struct Call {
    /// Which connection, and which end of it.
    pub connection: String,
    /// The function that was called.
    pub function: String,
    /// Which way.
    pub dir: Direction,
    /// What it moved.
    pub bytes: Vec<u8>,
}

/// The program, waiting to be told to go on.
#[derive(Debug)]
pub struct Calls {
    process: Process,
    stdin: ChildStdin,
    stdout: Lines,
}

/// Compiles the program so that it loads the libraries it is given.
pub fn compile(scratch: &Scratch) -> PathBuf {
    compile_with(scratch, "calls", &["-ldl"])
}

/// Compiles the program with the distribution's OpenSSL inside.
pub fn compile_static(scratch: &Scratch) -> PathBuf {
    // What it calls is declared weak, and by itself would bring nothing out of an archive.
    let libraries = [
        "-DLINKED",
        "-Wl,-Bstatic,--whole-archive",
        "-lssl",
        "-Wl,--no-whole-archive",
        "-lcrypto",
        "-Wl,-Bdynamic",
    ];
    compile_with(scratch, "calls-static", &libraries)
}

/// Compiles the program or one with its arguments, `code`, with a version's archives inside, and
/// strips it.
pub fn compile_stripped(
    scratch: &Scratch,
    code: &str,
    version: &Version,
    arguments: &[&str],
) -> PathBuf {
    let [ssl, crypto] = version.archives();
    let libraries = [
        "-DLINKED",
        "-s",
        "-Wl,--whole-archive",
        ssl.to_str().unwrap(),
        "-Wl,--no-whole-archive",
        crypto.to_str().unwrap(),
        "-lpthread",
        "-lstdc++",
    ];
    compile_source(scratch, code, "static-and-stripped", &[&libraries, arguments].concat())
}

fn compile_with(scratch: &Scratch, name: &str, arguments: &[&str]) -> PathBuf {
    compile_source(scratch, "calls.c", name, arguments)
}

fn compile_source(scratch: &Scratch, code: &str, name: &str, arguments: &[&str]) -> PathBuf {
    let executable = scratch.join(name);
    let mut gcc = command("gcc");
    gcc.arg("-O1").arg("-o").arg(&executable).arg(source(code)).args(arguments);
    let _ = run(&mut gcc).success();
    executable
}

/// Compiles `programs/keys.c`, which makes handshakes and logs their keys, so that it loads the
/// libraries it is given.
pub fn compile_keys(scratch: &Scratch) -> PathBuf {
    compile_source(scratch, "keys.c", "keys", &["-ldl"])
}

/// Compiles `programs/sendfile.c`, which loads the libraries it is given.
pub fn compile_sendfile(scratch: &Scratch) -> PathBuf {
    compile_source(scratch, "sendfile.c", "sendfile", &["-ldl"])
}

/// Compiles `programs/gnutls_calls.c`, which does the same for `GnuTLS`.
pub fn compile_for_gnutls(scratch: &Scratch) -> PathBuf {
    compile_source(scratch, "gnutls_calls.c", "gnutls-calls", &["-lgnutls", "-ldl"])
}

/// Compiles `programs/nss_calls.c`, which does the same for NSS.
pub fn compile_for_nss(scratch: &Scratch) -> PathBuf {
    let arguments = ["-I/usr/include/nss", "-I/usr/include/nspr", "-lssl3", "-lnss3", "-lnspr4"];
    compile_source(scratch, "nss_calls.c", "nss-calls", &arguments)
}

/// The command that runs the program with these libraries; `-` for those it is linked to.
pub fn with_libraries(
    mut program: Command,
    crypto: impl AsRef<Path>,
    ssl: impl AsRef<Path>,
    certificate: &Certificate,
) -> Command {
    program.arg(crypto.as_ref()).arg(ssl.as_ref());
    program.arg(&certificate.certificate).arg(&certificate.key);
    program
}

/// The same for a program that reads and writes through the library's BIO filter.
pub fn through_a_bio(mut program: Command) -> Command {
    program.arg("bio");
    program
}

impl Calls {
    /// Starts it and waits until it has its libraries loaded.
    pub fn start(mut command: Command) -> Self {
        let mut process = Process::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        let stdin = process.stdin();
        let mut stdout = process.stdout_lines();
        stdout.wait_for("\"ready\"", |line| line == "ready");
        Self { process, stdin, stdout }
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Lets it make its calls and waits for its end.
    pub fn run(mut self) -> Vec<Call> {
        self.stdin.write_all(b"go\n").unwrap();
        let status = self.process.wait();
        assert!(status.success(), "calls: {status}");
        let lines = self.stdout.finish();
        lines.iter().filter(|line| *line != "ready").map(|line| parse(line)).collect()
    }
}

fn parse(line: &str) -> Call {
    let fields: Vec<&str> = line.split(' ').collect();
    let [scenario, function, end, dir, len, hex] = fields[..] else { panic!("{line}") };
    let bytes = data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap();
    assert_eq!(len, bytes.len().to_string());
    Call {
        connection: format!("{scenario} {end}"),
        function: function.to_owned(),
        dir: if dir == "send" { Direction::Send } else { Direction::Recv },
        bytes,
    }
}
