//! `ecapture tls -- COMMAND`: the command and its children only, from their first byte.

use e2e::capture::ecapture;
use e2e::curl::{Http, curl};
use e2e::line::{self, Line};
use e2e::nginx::Nginx;
use e2e::process::{Outcome, run, shell_status};
use e2e::stream::{self, streams};
use e2e::{Direction, Scratch, needs_bpf};
use std::collections::BTreeSet;
use std::process::Command;

/// Runs the tool with a command of its own. The command's output must not go to standard output.
fn run_with(command: &Command) -> Outcome {
    let mut tool = ecapture(["tls", "--format", "json", "--no-parse", "--"]);
    run(tool.arg(command.get_program()).args(command.get_args()))
}

fn shell(script: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", script]);
    shell
}

fn lines(scratch: &Scratch, outcome: &Outcome) -> Vec<Line> {
    line::read(&scratch.write("stdout", &outcome.stdout))
}

#[test]
fn a_request_is_seen_from_its_first_byte_and_nobody_elses() {
    needs_bpf!();
    let scratch = Scratch::new();
    let nginx = Nginx::start(&scratch);
    let mut client = curl(Http::V1, &nginx.certificate.certificate);
    client.args(["--output", "/dev/null"]).arg(nginx.url("small"));
    let outcome = run_with(&client).success();
    nginx.stop();
    let lines = lines(&scratch, &outcome);
    let pids: Vec<u32> =
        lines.iter().map(|line| line.pid).collect::<BTreeSet<_>>().into_iter().collect();
    assert_eq!(pids.len(), 1, "only the command, not the server");
    assert!(lines.iter().all(|line| line.comm == "curl"));
    let streams = streams(&lines, &pids);
    assert!(stream::of(&streams, Direction::Send)[0].bytes.starts_with(b"GET /small HTTP/1.1\r\n"));
    assert!(stream::of(&streams, Direction::Recv)[0].bytes.starts_with(b"HTTP/1.1 200 OK\r\n"));
}

#[test]
fn children_of_the_command_are_seen_too() {
    needs_bpf!();
    let scratch = Scratch::new();
    let nginx = Nginx::start(&scratch);
    let request = |name: &str| {
        let mut client = curl(Http::V1, &nginx.certificate.certificate);
        client.args(["--output", "/dev/null"]).arg(nginx.url(name));
        format!("{client:?}")
    };
    // A child, and a grandchild in the background.
    let script = format!("{}; ( {} & wait ); true", request("small?one"), request("small?two"));
    let outcome = run_with(&shell(&script)).success();
    nginx.stop();
    let lines = lines(&scratch, &outcome);
    let sent: String = lines
        .iter()
        .filter(|line| line.dir == Direction::Send)
        .filter_map(|line| line.data.clone())
        .collect();
    assert_eq!(sent.matches("GET /small?one").count(), 1, "{sent}");
    assert_eq!(sent.matches("GET /small?two").count(), 1, "{sent}");
    assert!(lines.iter().all(|line| line.comm == "curl"), "not the server");
}

#[test]
fn the_status_is_the_commands() {
    needs_bpf!();
    for (script, status) in [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 128 + 15)] {
        let outcome = run_with(&shell(script));
        assert_eq!(shell_status(outcome.status), status, "{script}: {}", outcome.stderr);
    }
}

#[test]
fn a_command_that_does_not_exist_is_an_error() {
    needs_bpf!();
    let outcome = run_with(&Command::new("no-such-command-anywhere"));
    assert!(!outcome.status.success());
    assert!(outcome.stderr.contains("no-such-command-anywhere"), "{}", outcome.stderr);
}
