//! 100 MiB in one go.

use super::assert_http1;
use e2e::curl::{Http, Transfer};
use e2e::message::{messages, requests, responses};
use e2e::nginx::Nginx;
use e2e::{Capture, Payload, Scratch, digest, needs_bpf};

const LEN: usize = 100 << 20;

#[test]
fn a_download_of_100_mib() {
    needs_bpf!();
    let scratch = Scratch::new();
    let nginx = Nginx::start(&scratch);
    nginx.serve("large", &Payload::text(LEN));
    let capture = Capture::raw(&scratch, &[]);
    let done = Transfer::get(&scratch, Http::V1, &nginx, "large").finish();
    assert_eq!(done.received.len(), LEN);
    let workers = nginx.workers.clone();
    nginx.stop();
    assert_http1(&capture.stop().lines(), &workers, &[done]);
}

#[test]
fn an_upload_of_100_mib() {
    needs_bpf!();
    let scratch = Scratch::new();
    let nginx = Nginx::start(&scratch);
    let capture = Capture::raw(&scratch, &[]);
    let done = Transfer::put(&scratch, Http::V1, &nginx, "large", Payload::text(LEN)).finish();
    let workers = nginx.workers.clone();
    nginx.stop();
    assert_http1(&capture.stop().lines(), &workers, &[done]);
}

#[test]
fn a_parsed_download_of_100_mib_over_http2() {
    needs_bpf!();
    let scratch = Scratch::new();
    let nginx = Nginx::start(&scratch);
    let content = Payload::text(LEN);
    nginx.serve("large", &content);
    let capture = Capture::parsed(&scratch, &[]);
    let done = Transfer::get(&scratch, Http::V2, &nginx, "large").finish();
    let workers = nginx.workers.clone();
    nginx.stop();
    let lines = capture.stop().lines();
    for pids in [&[done.pid], &workers[..]] {
        let all = messages(&lines, pids);
        assert_eq!((requests(&all).len(), responses(&all).len()), (1, 1));
        assert_eq!(digest(&responses(&all)[0].body), digest(&content));
        assert!(responses(&all)[0].complete);
    }
}
