//! `--pid` and what is sent when a socket is gone: resets, and what they answer.

use super::recording::Recording;
use super::scene::{Held, PacketCapture};
use super::tshark::{fields, identities};
use e2e::Scratch;
use e2e::nginx::free_port;
use std::process::Command;

/// Four connections, each of which ends in a reset; what either end waits for comes from the other, so
/// that all is sent when both have ended.
const ENDS: &str = "import select, socket, struct, sys
role, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])

def without_linger(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    connection.close()

def until_reset(connection):
    poll = select.poll()
    poll.register(connection, 0)
    poll.poll()
    connection.close()

def talk(connection, kind):
    if kind == 'c':
        if role == 'client':
            connection.recv(1)
            without_linger(connection)
        else:
            connection.send(b'x')
            until_reset(connection)
    elif kind == 'u':
        if role == 'client':
            select.select([connection], [], [])
            connection.close()
        else:
            connection.send(b'x')
            until_reset(connection)
    else:
        if (kind == 'd') == (role == 'client'):
            connection.recv(1)
            connection.close()
        else:
            connection.send(b'x')
            assert connection.recv(1) == b''
            connection.send(b'too late')
            until_reset(connection)

if role == 'server':
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen()
    print('ready', flush=True)
    for _ in range(4):
        connection, _ = listener.accept()
        talk(connection, connection.recv(1).decode())
else:
    for kind in 'cuds':
        connection = socket.create_connection((address, port))
        print(connection.getsockname()[1])
        connection.send(kind.encode())
        talk(connection, kind)
";

/// A server and a client that wait to be let go.
struct Pair {
    server: Held,
    client: Held,
}

fn end(role: &str, address: &str, port: u16) -> Held {
    let mut python: Command = e2e::process::command("python3");
    python.args(["-c", ENDS, role, address, &port.to_string()]);
    Held::new(&python)
}

impl Pair {
    fn new(address: &str, port: u16) -> Self {
        Self { server: end("server", address, port), client: end("client", address, port) }
    }

    /// Lets both go; the ports of the client, when all is sent.
    fn talk(self) -> Vec<String> {
        let mut server = self.server.go();
        let mut said = server.stdout_lines();
        said.wait_for("\"ready\"", |line| line == "ready");
        let client = self.client.go().finish().success();
        assert!(server.wait().success(), "the server failed");
        let stdout = String::from_utf8(client.stdout).unwrap();
        assert_eq!(stdout.lines().count(), 4, "{stdout}");
        stdout.lines().map(|port| format!("tcp.port=={port}")).collect()
    }
}

#[test]
fn packets_of_a_closed_socket_are_those_of_the_process_that_had_it() {
    e2e::needs_bpf!();
    let port = free_port();
    // Other addresses, so that one recording has both.
    let (asked, other) = (Pair::new("127.0.0.1", port), Pair::new("127.0.0.2", port));
    let scratches = [Scratch::new(), Scratch::new()];
    let tcpdump = Recording::start(&scratches[0], port);
    let filter = format!("tcp port {port}");
    let captures = [asked.client.pid(), asked.server.pid()].map(|pid| pid.to_string());
    let captures: Vec<_> = captures
        .iter()
        .zip(&scratches)
        .map(|(pid, scratch)| PacketCapture::filtered(scratch, &filter, &["--pid", pid]))
        .collect();
    let other = other.talk().join("||");
    let asked = asked.talk().join("||");
    let files: Vec<_> = captures.into_iter().map(PacketCapture::stop).collect();
    let recording = tcpdump.stop();
    let asked = format!("ip.addr==127.0.0.1 && ({asked})");
    let expected = identities(&recording, &asked);
    let resets = fields(&recording, &format!("{asked} && tcp.flags.reset==1"), &["tcp.port"]);
    assert_eq!(resets.len(), 4, "{resets:?}");
    let others = format!("ip.addr==127.0.0.2 && ({other}) && tcp.flags.reset==1");
    assert_eq!(identities(&recording, &others).len(), 4);
    assert_eq!(identities(&files[0], "frame"), expected, "asked for the client");
    assert_eq!(identities(&files[1], "frame"), expected, "asked for the server");
}
