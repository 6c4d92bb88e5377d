//! Clients that mean harm: they are refused, cost little memory, and the capture does not notice.

use super::{Served, TOKEN, ask, peak_kib};
use e2e::curl::{Http, Transfer};
use e2e::nginx::Nginx;
use e2e::process::{command, run};
use e2e::stream::streams;
use e2e::{Direction, Payload, Process, Scratch, needs_bpf};
use std::fs::File;
use std::process::Stdio;

const MIB: u64 = 1024;

#[test]
fn a_body_of_a_gibibyte_is_refused_at_once() {
    needs_bpf!();
    let scratch = Scratch::new();
    let served = Served::start(&scratch, &[]);
    let before = peak_kib(served.capture.pid());
    let body = scratch.join("gibibyte");
    File::create_new(&body).unwrap().set_len(1 << 30).unwrap();
    let bearer = format!("Authorization: Bearer {TOKEN}");
    let url = served.url("/tls");
    let body = body.to_str().unwrap();
    // curl waits for 100 Continue and gets the refusal instead.
    let upload = ["--request", "POST", "--upload-file", body, url.as_str()];
    let polite = ask(&[&["-H", &bearer], upload.as_slice()].concat());
    assert_eq!((polite.status, polite.code()), (413, 1), "{polite:?}");
    for framing in ["Content-Type: text/plain", "Transfer-Encoding: chunked"] {
        // These send without asking: they may see the end of the connection before the answer.
        let rude = ["-H", &bearer, "-H", "Expect:", "-H", framing];
        let rude = ask(&[&rude, upload.as_slice()].concat());
        assert!(matches!(rude.status, 0 | 413), "{rude:?}");
        let stranger = ask(&[&["-H", "Expect:", "-H", framing], upload.as_slice()].concat());
        assert!(matches!(stranger.status, 0 | 401), "{stranger:?}");
    }
    assert_eq!(served.ask("/health", &[]).status, 200);
    let grown = peak_kib(served.capture.pid()) - before;
    assert!(grown < 16 * MIB, "{grown} KiB more");
    served.capture.stop();
}

/// Opens as many connections as it may, up to 10 000; each sends the start of a request and then a
/// byte now and then. Says how many it opened; ends when its standard input does.
const CROWD: &str = "
import resource, select, socket, sys
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 10100), hard))
port, count = int(sys.argv[1]), min(10000, min(hard, 10100) - 100)
open_ones = []
for _ in range(count):
    one = socket.socket()
    one.settimeout(20)
    try:
        one.connect(('127.0.0.1', port))
        one.sendall(b'GET /status HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\nX: ')
    except OSError:
        pass
    open_ones.append(one)
print(len(open_ones), flush=True)
while not select.select([sys.stdin], [], [], 0.5)[0]:
    for one in open_ones:
        try:
            one.send(b'x')
        except OSError:
            pass
";

#[test]
fn a_crowd_of_slow_clients_changes_nothing_for_the_capture() {
    needs_bpf!();
    let scratch = Scratch::new();
    let nginx = Nginx::start(&scratch);
    let served = Served::start(&scratch, &[]);
    let before = peak_kib(served.capture.pid());
    let mut python = command("python3");
    python.args(["-c", CROWD, &served.port.to_string()]);
    python.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut crowd = Process::start(&mut python);
    let count = crowd.stdout_lines().wait_for("the crowd", |_| true);
    assert!(count.parse::<u32>().unwrap() > 500, "{count} connections");

    let content = Payload::text(200_000);
    nginx.serve("meanwhile", &content);
    let transferred = Transfer::get(&scratch, Http::V1, &nginx, "meanwhile").finish();
    assert!(transferred.received == *content, "the exchange itself");
    // Those who are slow lose their places after a few seconds, whatever they send.
    let served_again = (0..100).any(|_| {
        let bearer = format!("Authorization: Bearer {TOKEN}");
        let retry = ["--retry", "20", "--retry-all-errors", "--retry-delay", "1", "-H", &bearer];
        ask(&[&retry, [served.url("/health").as_str()].as_slice()].concat()).status == 200
    });
    assert!(served_again);
    drop(crowd.stdin());
    crowd.wait();
    let grown = peak_kib(served.capture.pid()) - before;
    assert!(grown < 32 * MIB, "{grown} KiB more");
    nginx.stop();
    let lines = served.capture.stop().lines();
    let client = streams(&lines, &[transferred.pid]);
    let received =
        client.iter().find(|stream| stream.dir == Direction::Recv).expect("the response");
    let whole = [transferred.response_head.as_slice(), content.as_slice()].concat();
    assert!(received.bytes == whole, "{} of {} bytes", received.bytes.len(), whole.len());
}

#[test]
fn what_is_no_http_is_survived() {
    needs_bpf!();
    let scratch = Scratch::new();
    let served = Served::start(&scratch, &[]);
    let script = "
import os, socket, sys
for content in [b'', b'\\r\\n' * 100000, os.urandom(100000), b'GET ' + b'/' * 1000000, b'GET / HTTP/1.1\\r\\n' + b'a: b\\r\\n' * 100000,
                b'POST /tls HTTP/1.1\\r\\nHost: localhost\\r\\nContent-Length: 99999999999999999999\\r\\n\\r\\n']:
    one = socket.create_connection(('127.0.0.1', int(sys.argv[1])), 30)
    try:
        one.sendall(content)
        one.shutdown(socket.SHUT_WR)
        while one.recv(65536):
            pass
    except TimeoutError:
        raise
    except OSError:
        pass
";
    let mut python = command("python3");
    let _ = run(python.args(["-c", script, &served.port.to_string()])).success();
    assert_eq!(served.ask("/health", &[]).status, 200);
    served.capture.stop();
}
