//! Which socket a connection runs on: right, or said to be unknown.

use e2e::curl::{Http, curl};
use e2e::line::Address;
use e2e::nginx::Nginx;
use e2e::peer::{Exchange, Language, Side};
use e2e::process::run;
use e2e::stream::{Stream, streams};
use e2e::{Capture, Payload, Scratch, needs_bpf};
use std::net::IpAddr;

fn address(ip: &str, port: u16) -> Address {
    Address { ip: ip.parse::<IpAddr>().unwrap(), port }
}

/// curl's and nginx's ends of one connection each, as captured.
fn curl_and_nginx(host: &str) -> (Stream, Stream, u16) {
    let scratch = Scratch::new();
    let nginx = Nginx::start(&scratch);
    let capture = Capture::raw(&scratch, &[]);
    let mut client = curl(Http::V1, &nginx.certificate.certificate);
    // The last of contradicting flags counts.
    client.arg(if host.contains(':') { "--ipv6" } else { "--ipv4" });
    client.args(["--output", "/dev/null"]);
    let client = run(client.arg(format!("https://{host}:{}/small", nginx.port))).success().pid;
    let (port, workers) = (nginx.port, nginx.workers.clone());
    nginx.stop();
    let lines = capture.stop().lines();
    let first = |pids: &[u32]| streams(&lines, pids).swap_remove(0);
    (first(&[client]), first(&workers), port)
}

#[test]
fn both_ends_of_an_ipv4_connection() {
    needs_bpf!();
    let (client, server, port) = curl_and_nginx("127.0.0.1");
    assert_eq!(client.remote, Some(address("127.0.0.1", port)));
    assert_eq!(server.local, Some(address("127.0.0.1", port)));
    assert_eq!(client.local, server.remote);
}

#[test]
fn both_ends_of_an_ipv6_connection() {
    needs_bpf!();
    let (client, server, port) = curl_and_nginx("[::1]");
    assert_eq!(client.remote, Some(address("::1", port)));
    assert_eq!(server.local, Some(address("::1", port)));
    assert_eq!(client.local, server.remote);
}

/// The streams of a client and of a server of this language, and the server's address.
fn of_language(language: Language) -> (Vec<Stream>, Vec<Stream>, Address) {
    let scratch = Scratch::new();
    let side = |len| Side { language, sends: Payload::text(len) };
    let exchange = Exchange::prepare(&scratch, &side(3000), &side(4000), 4);
    let capture = Capture::raw(&scratch, &[]);
    let exchanged = exchange.run();
    let lines = capture.stop().lines();
    let of = |pid| streams(&lines, &[pid]);
    (of(exchanged.client), of(exchanged.server), address("127.0.0.1", exchanged.port))
}

#[test]
fn sockets_of_python_are_known() {
    needs_bpf!();
    let (clients, servers, listens) = of_language(Language::Python);
    assert_eq!((clients.len(), servers.len()), (8, 8), "four connections, two directions");
    assert!(servers.iter().all(|server| server.local.as_ref() == Some(&listens)));
    for client in &clients {
        assert_eq!(client.remote.as_ref(), Some(&listens));
        assert!(client.local.is_some());
        let same = servers.iter().filter(|server| server.remote == client.local);
        assert_eq!(same.count(), 2, "one connection, two directions");
    }
}

/// Each connection has a socket of its own, if any is known, and the server's end is the server's.
#[track_caller]
fn assert_plausible(
    streams: &[Stream],
    listens: &Address,
    ends: fn(&Stream) -> (&Option<Address>, &Option<Address>),
) {
    assert_eq!(streams.len(), 8, "four connections, two directions");
    let mut sockets = Vec::new();
    for stream in streams.iter().filter(|stream| stream.local.is_some()) {
        let (of_client, of_server) = ends(stream);
        assert_eq!(of_server.as_ref(), Some(listens));
        sockets.push((stream.dir, of_client.clone()));
    }
    let known = sockets.len();
    sockets.sort();
    sockets.dedup();
    assert_eq!(sockets.len(), known, "two connections have the same socket");
}

/// On memory BIOs the library never sees the socket: then it is found, or unknown, but never wrong.
fn never_wrong(language: Language) {
    let (clients, servers, listens) = of_language(language);
    assert_plausible(&clients, &listens, |stream| (&stream.local, &stream.remote));
    assert_plausible(&servers, &listens, |stream| (&stream.remote, &stream.local));
}

#[test]
fn sockets_of_coroutines_are_never_wrong() {
    needs_bpf!();
    never_wrong(Language::PythonAsync);
}

#[test]
fn sockets_of_node_are_never_wrong() {
    needs_bpf!();
    never_wrong(Language::Node);
}
