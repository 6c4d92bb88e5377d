//! Programs built by Go: `programs/go`, by every Go that `cargo xtask libs` provides.

use crate::certificate::Certificate;
use crate::payload::digest;
use crate::peer::source;
use crate::process::{Lines, Process, command};
use crate::scratch::Scratch;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};

/// How a program is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Build {
    /// As `go build` does it.
    Plain,
    /// `-buildmode=pie`
    Pie,
    /// `-ldflags "-s -w"`: no symbols.
    Stripped,
    /// `-buildmode=c-shared`: a library, loaded by a program in C.
    Shared,
}

impl Build {
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Plain => &[],
            Self::Pie => &["-buildmode=pie"],
            Self::Stripped => &["-ldflags=-s -w"],
            Self::Shared => &["-buildmode=c-shared"],
        }
    }
}

/// A program that was built, and how to run it.
#[derive(Debug, Clone)]
pub struct Peer {
    /// The program or library that holds the Go code.
    pub file: PathBuf,
    loader: Option<PathBuf>,
}

fn cache() -> PathBuf {
    std::env::home_dir().unwrap_or_default().join(".cache/ecapture")
}

/// Where `cargo xtask libs go-VERSION` put it.
fn goroot(version: &str) -> (PathBuf, String) {
    let root =
        std::env::var_os("ECAPTURE_LIBS").map_or_else(|| cache().join("libs"), PathBuf::from);
    let folder = root.join(format!("go-{version}"));
    let origin = fs::read_to_string(folder.join(".complete")).unwrap_or_else(|_| {
        panic!("{} is not there: cargo xtask libs go-{version}", folder.display())
    });
    (folder.join(format!("usr/lib/go-{version}")), origin)
}

impl Peer {
    /// Builds it, unless this very source was built in this way before.
    pub fn build(version: &str, build: Build) -> Self {
        let (goroot, origin) = goroot(version);
        let sources = ["peer.go", "shared.go", "load.c"].map(|name| source("go").join(name));
        let mut recipe = format!("{origin}{build:?}");
        for path in &sources {
            recipe += &fs::read_to_string(path).unwrap();
        }
        let name = digest(recipe.as_bytes()).rsplit(' ').next().unwrap()[..16].to_owned();
        let folder = cache().join("go-programs").join(format!("{version}-{build:?}-{name}"));
        let [peer, shared, load] = sources;
        if !folder.exists() {
            fs::create_dir_all(folder.parent().unwrap()).unwrap();
            let partial = tempfile::tempdir_in(folder.parent().unwrap()).unwrap();
            let mut go = Command::new(goroot.join("bin/go"));
            go.env("GOROOT", &goroot).env("GOTOOLCHAIN", "local").env("GO111MODULE", "off");
            go.env("GOCACHE", cache().join("go-cache").join(version));
            go.env("GOPATH", partial.path().join("gopath")).env("GOFLAGS", "");
            go.arg("build").args(build.arguments()).arg("-o").arg(partial.path().join("peer"));
            go.arg(&peer);
            if build == Build::Shared {
                go.arg(&shared);
            }
            succeed(&mut go);
            let mut gcc = command("gcc");
            gcc.arg("-O1").arg("-o").arg(partial.path().join("load")).arg(&load).arg("-ldl");
            succeed(&mut gcc);
            // Another test may have been faster: then its result is as good.
            let _ = fs::rename(partial.keep(), &folder);
        }
        let loader = (build == Build::Shared).then(|| folder.join("load"));
        Self { file: folder.join("peer"), loader }
    }

    /// The same as a file of its own, which no other process has mapped.
    #[must_use]
    pub fn copied(&self, file: PathBuf) -> Self {
        fs::copy(&self.file, &file).unwrap();
        Self { file, loader: self.loader.clone() }
    }

    /// The command line that runs it.
    pub fn command(&self) -> Command {
        match &self.loader {
            Some(loader) => {
                let mut command = Command::new(loader);
                command.arg(&self.file);
                command
            }
            None => Command::new(&self.file),
        }
    }
}

/// Compiling a standard library may take longer than anything that a test waits for.
fn succeed(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// A server that runs.
#[derive(Debug)]
pub struct Server {
    process: Process,
    stdin: ChildStdin,
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
}

impl Server {
    /// Starts it and waits until it listens.
    pub fn start(peer: &Peer, certificate: &Certificate, flags: &[&str]) -> Self {
        let mut command = peer.command();
        command.arg("server").arg("-certificate").arg(&certificate.certificate);
        command.arg("-key").arg(&certificate.key).args(flags);
        let mut process = Process::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        let stdin = process.stdin();
        let line = process.stdout_lines().wait_for("port", |line| line.starts_with("port "));
        Self { process, stdin, port: line["port ".len()..].parse().unwrap() }
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Tells it to end. Fails if it has crashed.
    pub fn stop(mut self) {
        drop(self.stdin);
        let status = self.process.wait();
        assert!(status.success(), "server: {status}");
    }
}

/// A client that waits to be told to go on.
#[derive(Debug)]
pub struct Client {
    process: Process,
    stdin: ChildStdin,
    stdout: Lines,
}

/// How often each transfer was made: `sent` or `received` by the client, and the digest.
pub type Transfers = BTreeMap<String, usize>;

impl Client {
    /// Starts it and waits until it waits. What it sends is random.
    pub fn start(peer: &Peer, server: &Server, key_log: Option<&Path>, flags: &[&str]) -> Self {
        let mut command = peer.command();
        command.args(["client", "-seed"]).arg(fastrand::u32(..).to_string()).args(flags);
        command.arg(format!("127.0.0.1:{}", server.port));
        if let Some(path) = key_log {
            command.env("PEER_KEYLOG", path);
        }
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

    /// Lets it do its work and waits for its end.
    pub fn run(mut self) -> Transfers {
        use std::io::Write;
        self.stdin.write_all(b"go\n").unwrap();
        let status = self.process.wait();
        assert!(status.success(), "client: {status}");
        let mut transfers = Transfers::new();
        for line in self.stdout.finish().into_iter().filter(|line| line != "ready") {
            *transfers.entry(line).or_default() += 1;
        }
        transfers
    }
}

/// Names a transfer as the client does.
pub fn transfer(sent_by_client: bool, bytes: &[u8]) -> String {
    format!("{} {}", if sent_by_client { "sent" } else { "received" }, digest(bytes))
}

/// A certificate and its folder, for servers.
pub fn certificate() -> (Scratch, Certificate) {
    let scratch = Scratch::new();
    let certificate = Certificate::new(&scratch);
    (scratch, certificate)
}
