//! The programs that come with NSS, of each suite.

use crate::exactness::assert_streams;
use e2e::certificate::Certificate;
use e2e::nginx::free_port;
use e2e::peer::{Language, Server};
use e2e::process::{Lines, Outcome, Process, command, run};
use e2e::suite::Suite;
use e2e::{Capture, Direction, Payload, Scratch, digest};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn capture(scratch: &Scratch, suite: &Suite) -> Capture {
    Capture::of_library("nspr", scratch, &suite.library("libssl3.so"))
}

/// An empty database for certificates and keys.
fn database(suite: &Suite, scratch: &Scratch) -> String {
    let folder = scratch.join("database");
    std::fs::create_dir(&folder).unwrap();
    let database = format!("sql:{}", folder.display());
    let mut make = suite.program("certutil");
    let _ = run(make.args(["-N", "--empty-password", "-d", &database])).success();
    database
}

/// The certificate and its key in the form that databases import.
fn pkcs12(scratch: &Scratch, certificate: &Certificate) -> PathBuf {
    let path = scratch.join("both.p12");
    let mut export = command("openssl");
    export.args(["pkcs12", "-export", "-name", "server", "-passout", "pass:word", "-out"]);
    export.arg(&path).arg("-in").arg(&certificate.certificate).arg("-inkey").arg(&certificate.key);
    let _ = run(&mut export).success();
    path
}

fn import(suite: &Suite, database: &str, pkcs12: &Path) -> Command {
    let mut import = suite.program("pk12util");
    import.args(["-d", database, "-W", "word", "-i"]).arg(pkcs12);
    import
}

/// Runs a client that sends `request`.
fn client(suite: &Suite, database: &str, scratch: &Scratch, port: u16, request: &[u8]) -> Outcome {
    let mut client = suite.program("tstclnt");
    // Whatever certificate.
    client.args(["-o", "-4", "-h", "localhost", "-d", database, "-p", &port.to_string()]);
    // From a pipe that is at its end it would read for ever.
    let request = File::open(scratch.write("request", request)).unwrap();
    client.stdin(request).stdout(Stdio::piped()).stderr(Stdio::piped());
    Process::start(&mut client).finish().success()
}

/// A `selfserv`, which answers with what it was asked.
struct SelfServ {
    process: Process,
    said: Lines,
}

impl SelfServ {
    fn start(suite: &Suite, database: &str, port: u16) -> Self {
        let mut serving = suite.program("selfserv");
        serving.args(["-v", "-n", "server", "-d", database, "-p", &port.to_string()]);
        serving.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = Process::start(&mut serving);
        let mut said = process.stderr_lines();
        said.wait_for("\"About to call accept\"", |line| line.contains("About to call accept"));
        Self { process, said }
    }
}

/// Both ends of one exchange.
fn tstclnt_and_selfserv(name: &str) {
    let suite = Suite::named(name);
    let scratch = Scratch::new();
    let certificate = Certificate::new(&scratch);
    let database = database(&suite, &scratch);
    let both = pkcs12(&scratch, &certificate);
    let _ = run(&mut import(&suite, &database, &both)).success();
    let request = format!("GET /{} HTTP/1.0\r\n\r\n", Payload::marker()).into_bytes();
    let capture = capture(&scratch, &suite);
    let port = free_port();
    let SelfServ { mut process, said } = SelfServ::start(&suite, &database, port);
    let done = client(&suite, &database, &scratch, port, &request);
    let response = done.stdout;
    assert!(response.windows(request.len()).any(|part| part == request), "the answer");
    let server = process.pid();
    process.signal(rustix::process::Signal::TERM);
    process.wait();
    drop(said);
    let lines = capture.stop().lines();
    let (request, response) = ([request], [response]);
    assert_streams(&lines, &[done.pid], Direction::Send, &request);
    assert_streams(&lines, &[done.pid], Direction::Recv, &response);
    assert_streams(&lines, &[server], Direction::Recv, &request);
    assert_streams(&lines, &[server], Direction::Send, &response);
}

/// A large exchange with a server in Python, which uses another library.
fn tstclnt_sends_and_receives(name: &str) {
    let suite = Suite::named(name);
    let scratch = Scratch::new();
    let certificate = Certificate::new(&scratch);
    let database = database(&suite, &scratch);
    let (request, response) = (Payload::text(300_000), Payload::binary(400_000));
    let capture = capture(&scratch, &suite);
    let server =
        Server::start(&scratch, &certificate, Language::Python, 1, request.len(), &response);
    let done = client(&suite, &database, &scratch, server.port, &request);
    assert_eq!(digest(&done.stdout), digest(&response));
    server.finish();
    let lines = capture.stop().lines();
    assert_streams(&lines, &[done.pid], Direction::Send, &[request]);
    assert_streams(&lines, &[done.pid], Direction::Recv, &[response]);
    let remote = lines.iter().find(|line| line.pid == done.pid).and_then(|l| l.remote.as_ref());
    assert!(remote.is_some_and(|remote| remote.ip.is_loopback()), "{remote:?}");
}

/// `pk12util` is linked with the library, and reads a file with NSPR.
fn files_are_no_connections(name: &str) {
    let suite = Suite::named(name);
    let scratch = Scratch::new();
    let certificate = Certificate::new(&scratch);
    let database = database(&suite, &scratch);
    let both = pkcs12(&scratch, &certificate);
    let capture = capture(&scratch, &suite);
    let done = run(&mut import(&suite, &database, &both)).success();
    let lines = capture.stop().lines();
    assert!(lines.iter().all(|line| line.pid != done.pid), "nothing of {}", done.pid);
}

/// Other tools want NSPR named; the TLS layer is in the library beside it.
#[test]
fn naming_nspr_captures_the_layer_beside_it() {
    e2e::needs_bpf!();
    let suite = Suite::named("bookworm-nss");
    let scratch = Scratch::new();
    let nspr = suite.library("libnspr4.so");
    let capture = Capture::of("nspr", &scratch, &["--nspr", nspr.to_str().unwrap()]);
    let captured = capture.stop();
    captured.assert_whole();
    let attached = captured.stderr.iter().find(|line| line.contains("attached to")).unwrap();
    assert!(attached.contains(suite.library("libssl3.so").to_str().unwrap()), "{attached}");
    assert!(captured.stderr.iter().any(|line| line.contains("ready: 1 library, ")));
}

macro_rules! suites {
    ($($suite:ident = $name:literal,)*) => {
        $(mod $suite {
            #[test]
            fn tstclnt_and_selfserv() {
                e2e::needs_bpf!();
                super::tstclnt_and_selfserv($name);
            }

            #[test]
            fn tstclnt_sends_and_receives() {
                e2e::needs_bpf!();
                super::tstclnt_sends_and_receives($name);
            }

            #[test]
            fn files_are_no_connections() {
                e2e::needs_bpf!();
                super::files_are_no_connections($name);
            }
        })*
    };
}

suites! {
    bullseye = "bullseye-nss",
    bookworm = "bookworm-nss",
    trixie = "trixie-nss",
    sid = "sid-nss",
}
