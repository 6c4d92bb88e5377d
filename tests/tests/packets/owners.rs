//! Whose packets: the filter by process, and the comments.

use super::recording::Recording;
use super::scene::{Held, KeepAlive, PacketCapture, Scene};
use super::tshark::{fields, identities, plaintexts};
use e2e::process::{LIMIT, run};
use e2e::{Payload, line};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// curl that says which ports it had.
fn asks(scene: &Scene, name: &str) -> Command {
    let mut curl = scene.curl();
    curl.args(["-H", "Connection: close", "--write-out", "%{local_port}\\n", "--output"]);
    curl.arg("/dev/null").arg(format!("{}?[1-3]", scene.nginx.url(name)));
    curl
}

#[test]
fn of_two_programs_only_the_asked_ones_packets_are_there_and_all_of_them() {
    e2e::needs_bpf!();
    let scene = Scene::new();
    let [asked_body, other_body] = [Payload::marker(), Payload::marker()];
    scene.nginx.serve("asked", asked_body.as_bytes());
    scene.nginx.serve("other", other_body.as_bytes());
    let (asked, other) = (Held::new(&asks(&scene, "asked")), Held::new(&asks(&scene, "other")));
    let tcpdump = Recording::start(&scene.scratch, scene.nginx.port);
    let capture = PacketCapture::start(&scene, &["--pid", &asked.pid().to_string()]);
    let (asked, other) = (asked.go(), other.go());
    let (asked, other) = (asked.finish().success(), other.finish().success());
    let file = capture.stop();
    let recording = tcpdump.stop();

    let ports = |stdout: Vec<u8>| -> Vec<String> {
        String::from_utf8(stdout).unwrap().lines().map(|port| format!("tcp.port=={port}")).collect()
    };
    let (asked, other) = (ports(asked.stdout), ports(other.stdout));
    assert_eq!((asked.len(), other.len()), (3, 3));
    let expected = identities(&recording, &asked.join("||"));
    assert!(expected.len() > 3 * 10 && !identities(&recording, &other.join("||")).is_empty());
    assert_eq!(identities(&file, "frame"), expected);

    let plaintexts = plaintexts(&file);
    assert_eq!(plaintexts.len(), 3);
    let ends = |bytes: &[u8], marker: &str| bytes.ends_with(marker.as_bytes());
    assert!(plaintexts.iter().all(|plaintext| ends(&plaintext.server, &asked_body)));
}

#[test]
fn a_program_that_was_connected_before_the_capture_has_its_packets_too() {
    e2e::needs_bpf!();
    let scene = Scene::new();
    let marker = Payload::marker();
    scene.nginx.serve("page", marker.as_bytes());
    let mut client = KeepAlive::start(&scene);
    client.request();
    let tcpdump = Recording::start(&scene.scratch, scene.nginx.port);
    let capture = PacketCapture::start(&scene, &["--pid", &client.pid().to_string()]);
    client.request();
    client.finish();
    let file = capture.stop();
    // An acknowledgement of what was there before may have come before the one or the other began.
    let from_the_request = |file: &Path| {
        let first = fields(file, "tcp.len>0", &["frame.number"]).swap_remove(0);
        identities(file, &format!("tcp && frame.number>={first}"))
    };
    let packets = from_the_request(&file);
    assert!(packets.len() > 4);
    assert_eq!(packets, from_the_request(&tcpdump.stop()));
}

#[test]
fn comments_name_process_user_and_the_connection_of_the_text() {
    e2e::needs_bpf!();
    let scene = Scene::new();
    let out = scene.path("records");
    let arguments = ["-m", "text,pcapng", "--format", "json", "--no-parse", "--output", &out];
    scene.nginx.serve("page", Payload::marker().as_bytes());
    let mut clients: Vec<_> = (0..3).map(|_| KeepAlive::start(&scene)).collect();
    let pids: BTreeSet<_> = clients.iter().map(KeepAlive::pid).collect();
    let list: Vec<_> = pids.iter().map(u32::to_string).collect();
    let list = ["--pid", &list.join(",")];
    let capture = PacketCapture::start(&scene, &[&arguments[..], &list].concat());
    for client in &mut clients {
        client.request();
    }
    // From when the text shows a connection, its packets have its number.
    let is_shown = |pid: &u32| {
        let records = std::fs::read_to_string(&out).unwrap();
        records.contains(&format!("\"pid\":{pid},"))
    };
    let limit = Instant::now() + LIMIT;
    while !pids.iter().all(is_shown) {
        assert!(Instant::now() < limit, "the text does not show each connection");
        std::thread::yield_now();
    }
    for client in &mut clients {
        client.request();
    }
    clients.into_iter().for_each(KeepAlive::finish);
    let file = capture.stop();

    // Connection and process by the client's address, as the text has it.
    let mut expected = BTreeMap::new();
    for line in line::read(Path::new(&out)) {
        if let Some(local) = &line.local {
            expected.insert(local.port.to_string(), (line.pid, line.conn));
        }
    }
    assert_eq!(expected.values().map(|(pid, _)| *pid).collect::<BTreeSet<_>>(), pids);
    let mut requests: BTreeMap<&str, usize> = BTreeMap::new();
    let server = scene.nginx.port.to_string();
    let packets = fields(&file, "tcp", &["tcp.port", "frame.comment", "http.request.method"]);
    for packet in &packets {
        let fields: Vec<_> = packet.split('\t').collect();
        let [ports, comment, method] = fields[..] else { panic!("{packet}") };
        let client = ports.split(',').find(|port| *port != server).unwrap();
        *requests.entry(client).or_default() += usize::from(!method.is_empty());
        let (pid, conn) = &expected[client];
        let owner = format!("pid={pid} comm=python3 uid=0");
        let whole = format!("{owner} conn={conn}");
        assert!(comment == whole || comment == owner, "{comment}, not {whole}");
        assert!(requests[client] < 2 || comment == whole, "{comment}, not {whole}");
    }
    assert!(requests.len() == 3 && requests.values().all(|count| *count == 2), "{requests:?}");
}

#[test]
fn a_command_and_its_children_have_their_packets_and_no_one_else() {
    e2e::needs_bpf!();
    let scene = Scene::new();
    let (marker, other) = (Payload::marker(), Payload::marker());
    scene.nginx.serve("mine", marker.as_bytes());
    scene.nginx.serve("other", other.as_bytes());
    let held = Held::new(scene.curl().arg(scene.nginx.url("other")));
    let curl = |name| {
        let mut curl = scene.curl();
        curl.arg(scene.nginx.url(name));
        let words = [curl.get_program()].into_iter().chain(curl.get_args());
        words.map(|word| format!("'{}'", word.display())).collect::<Vec<_>>().join(" ")
    };
    // A child of a child; before it ends, the other program has run.
    let done = scene.path("done");
    let script = format!("{} && while ! [ -e {done} ]; do :; done; true", curl("mine"));
    let arguments = ["--", "sh", "-c", "sh -c \"$0\"; exit $?", &script];
    let capture = PacketCapture::start(&scene, &arguments);
    assert_eq!(held.go().finish().success().stdout, other.as_bytes());
    std::fs::write(&done, "").unwrap();
    let plaintexts = plaintexts(&capture.finish());
    assert_eq!(plaintexts.len(), 1);
    assert!(plaintexts[0].server.ends_with(marker.as_bytes()));
}

#[test]
fn a_user_has_the_packets_of_his_programs() {
    e2e::needs_bpf!();
    let scene = Scene::new();
    scene.nginx.serve("page", b"page");
    let mut nobody = e2e::process::command("setpriv");
    nobody.args(["--reuid", "65534", "--clear-groups"]);
    let curl = asks(&scene, "page");
    nobody.arg(curl.get_program()).args(curl.get_args());
    let capture = PacketCapture::start(&scene, &["--uid", "65534"]);
    let _ = run(&mut asks(&scene, "page")).success();
    let ports = String::from_utf8(run(&mut nobody).success().stdout).unwrap();
    let file = capture.stop();
    let there: BTreeSet<_> =
        fields(&file, "tcp.flags.syn==1&&tcp.flags.ack==0", &["tcp.srcport"]).into_iter().collect();
    assert_eq!(there, ports.lines().map(str::to_owned).collect());
}
