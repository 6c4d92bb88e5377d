//! Interfaces that come and go while packets are captured.
//!
//! In network namespaces of their own.

use super::network::Network;
use super::readers::capinfos;
use super::tshark::fields;
use e2e::capture::binary;
use e2e::process::{Process, program};
use e2e::{Capture, Payload, Scratch, peer};
use std::path::PathBuf;
use std::process::Stdio;

const PORT: u16 = 4433;

/// Says back what it hears, on one connection after the other.
const ECHO: &str = "import socket, sys
listener = socket.socket()
listener.bind(('', int(sys.argv[1])))
listener.listen()
print('ready', flush=True)
while True:
    connection, _ = listener.accept()
    while data := connection.recv(4096):
        connection.sendall(data)
    connection.close()
";

/// Says something and waits for the answer and its end.
const SAY: &str = "import socket, sys
connection = socket.create_connection((sys.argv[1], int(sys.argv[2])))
said = sys.argv[3].encode()
connection.sendall(said)
connection.shutdown(socket.SHUT_WR)
heard = b''
while data := connection.recv(4096):
    heard += data
assert heard == said, heard
";

/// Two networks, and a server in the second.
struct Networks {
    here: Network,
    there: Network,
    _server: Process,
}

impl Networks {
    fn new() -> Self {
        let (here, there) = (Network::new(), Network::new());
        let mut python = there.inside(program("python3"));
        python.args(["-c", ECHO, &PORT.to_string()]).stdout(Stdio::piped());
        let mut server = Process::start(&mut python);
        server.stdout_lines().wait_for("\"ready\"", |line| line == "ready");
        Self { here, there, _server: server }
    }

    /// A pair of interfaces between them, not yet up.
    fn add(&self, name: &str) {
        let pair = ["link", "add", name, "type", "veth", "peer", "name", name, "netns"];
        self.here.run("ip", &[&pair[..], &[&self.there.name]].concat());
    }

    /// Brings it up.
    fn up(&self, name: &str, network: u8) {
        for (end, number) in [(&self.there, 2), (&self.here, 1)] {
            let address = format!("10.8.{network}.{number}/24");
            end.run("ip", &["address", "add", &address, "dev", name]);
            end.run("ip", &["link", "set", name, "up"]);
        }
    }

    fn say(&self, network: u8, text: &str) {
        let address = format!("10.8.{network}.2");
        self.here.run("python3", &["-c", SAY, &address, &PORT.to_string(), text]);
    }

    fn capture(&self, scratch: &Scratch, without: &str, arguments: &[&str]) -> (Capture, PathBuf) {
        let file = scratch.join("capture.pcapng");
        let summary = scratch.join("summary");
        let mut ecapture = self.here.inside(binary());
        ecapture.args(["tls", "-m", "pcapng", "--libssl"]).arg(peer::libssl());
        ecapture.arg("-w").arg(&file).arg("--summary").arg(&summary).args(arguments).arg("tcp");
        ecapture.env("ECAPTURE_WITHOUT", without);
        ecapture.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        (Capture::start(&mut ecapture, scratch.join("stdout"), summary), file)
    }
}

/// Waits until the capture has begun to capture an interface.
fn wait_for(capture: &mut Capture, name: &str) {
    let told = format!("capturing packets on {name} too");
    capture.stderr().wait_for(&told, |line| line.contains(&told));
}

#[test]
fn an_interface_that_comes_later_is_captured_from_its_first_packet_on() {
    e2e::needs_bpf!();
    // Links, and filters where the kernel has none.
    for without in ["", "tcx"] {
        let networks = Networks::new();
        networks.add("vpn0");
        networks.up("vpn0", 1);
        let scratches = [Scratch::new(), Scratch::new()];
        let (mut every, every_file) = networks.capture(&scratches[0], without, &[]);
        let (mut one, one_file) = networks.capture(&scratches[1], without, &["-i", "vpn0"]);
        let texts = [Payload::marker(), Payload::marker(), Payload::marker()];
        networks.say(1, &texts[0]);

        // Gone, and there again, as when a tunnel is built anew.
        networks.here.run("ip", &["link", "del", "vpn0"]);
        networks.add("vpn0");
        wait_for(&mut every, "vpn0");
        wait_for(&mut one, "vpn0");
        networks.up("vpn0", 1);
        networks.say(1, &texts[1]);

        networks.add("veth0");
        wait_for(&mut every, "veth0");
        networks.up("veth0", 2);
        networks.say(2, &texts[2]);
        networks.here.run("ip", &["link", "del", "veth0"]);

        for (capture, file, expected) in [
            (every, every_file, &["vpn0", "vpn0", "veth0"][..]),
            (one, one_file, &["vpn0", "vpn0"]),
        ] {
            let ended = capture.stop();
            ended.assert_whole();
            let packets = |name: &str| ended.number(&format!("/packets/{name}"));
            assert_eq!(packets("seen"), packets("written"), "{}", ended.summary);
            let printed = capinfos(&file);
            let loopback = usize::from(expected.len() == 3);
            let interfaces = format!("Number of interfaces in file: {}", expected.len() + loopback);
            assert!(printed.contains(&interfaces), "{printed}");

            let there = fields(&file, "tcp.len>0", &["frame.interface_name", "tcp.payload"]);
            let said = |(name, text): (&&str, &String)| {
                let said = data_encoding::HEXLOWER.encode(text.as_bytes());
                // There and back.
                [format!("{name}\t{said}"), format!("{name}\t{said}")]
            };
            let said: Vec<_> = expected.iter().zip(&texts).flat_map(said).collect();
            assert_eq!(there, said);
            let begins = fields(&file, "tcp.flags.syn==1", &["frame.interface_id"]);
            assert_eq!(begins.len(), 2 * expected.len(), "{begins:?}");
            assert_eq!(fields(&file, "tcp.flags.fin==1", &["tcp.port"]).len(), begins.len());
        }
    }
}
