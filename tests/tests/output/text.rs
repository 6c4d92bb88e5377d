//! Text for people.

use super::request;
use e2e::nginx::Nginx;
use e2e::peer::{Exchange, Language, Side};
use e2e::{Capture, Payload, Scratch, needs_bpf};

#[test]
fn a_request_and_its_response() {
    needs_bpf!();
    let scratch = Scratch::new();
    let nginx = Nginx::start(&scratch);
    let marker = Payload::marker();
    nginx.serve("file", marker.as_bytes());
    let capture = Capture::tls(&scratch, &[]);
    let client = request(&nginx, "file");
    let port = nginx.port;
    let worker = nginx.workers[0];
    nginx.stop();
    let captured = capture.stop();
    captured.assert_whole();
    let text = captured.text();
    assert_eq!(text.matches("GET /file HTTP/1.1").count(), 2, "at both ends:\n{text}");
    assert_eq!(text.matches(&marker).count(), 2, "at both ends:\n{text}");
    let header = |pid: u32, dir: &str| {
        text.lines()
            .find(|line| {
                line.contains(&format!("PID:{pid}, ")) && line.contains(&format!("Dir:{dir}"))
            })
            .unwrap_or_else(|| panic!("no header of {pid} {dir}:\n{text}"))
    };
    assert!(header(client, "send").contains("Comm:curl"));
    assert!(header(client, "recv").contains(&format!("Remote:127.0.0.1:{port}")));
    assert!(header(worker, "send").contains(&format!("Local:127.0.0.1:{port}")));
    assert!(!text.contains('\x1b'), "no colour in a file");
}

#[test]
fn hex_shows_every_byte() {
    needs_bpf!();
    let scratch = Scratch::new();
    let capture = Capture::tls(&scratch, &["--no-parse", "--hex"]);
    let side = |sends: &[u8]| Side { language: Language::Python, sends: sends.to_vec() };
    Exchange::prepare(&scratch, &side(b"\x00\x01Marke\xff"), &side(b"ok"), 1).run();
    let captured = capture.stop();
    captured.assert_whole();
    let text = captured.text();
    assert_eq!(text.matches("00 01 4d 61 72 6b 65 ff").count(), 2, "{text}");
}

#[test]
fn tsize_cuts_and_says_so() {
    needs_bpf!();
    let scratch = Scratch::new();
    let capture = Capture::tls(&scratch, &["--no-parse", "--tsize", "100"]);
    let (shown, hidden) = (Payload::text(100), Payload::text(900));
    let side = |sends: Vec<u8>| Side { language: Language::Python, sends };
    Exchange::prepare(&scratch, &side([&shown[..], &hidden].concat()), &side(b"ok".to_vec()), 1)
        .run();
    let captured = capture.stop();
    captured.assert_whole();
    let text = captured.text();
    assert_eq!(text.matches(std::str::from_utf8(&shown).unwrap()).count(), 2, "{text}");
    assert!(!text.contains(std::str::from_utf8(&hidden[..50]).unwrap()));
    assert_eq!(text.matches("100 of 1000 bytes").count(), 2, "{text}");
}

#[test]
fn nothing_is_printed_on_standard_output_but_what_was_captured() {
    needs_bpf!();
    let scratch = Scratch::new();
    let capture = Capture::tls(&scratch, &["--debug", "--pid", &std::process::id().to_string()]);
    let captured = capture.stop();
    captured.assert_whole();
    assert_eq!(captured.text(), "");
    assert!(captured.stderr.len() > 1, "the log is on standard error");
}
