//! What the programs of the tests do, in Python.

/// A server that sends what it is asked for (8 digits: a number of bytes) and then reads to the end, for one
/// connection after the other.
pub(crate) const SERVER: &str = r#"
import os, socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
s = socket.socket(family, socket.SOCK_STREAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind((sys.argv[1], int(sys.argv[2])))
s.listen(64)
if len(sys.argv) > 3:
    if os.fork():
        os.wait()
        sys.exit()
    print("worker", os.getpid(), flush=True)
else:
    print("ready", flush=True)
while True:
    c, _ = s.accept()
    n = int(c.recv(8, socket.MSG_WAITALL))
    c.sendall(os.urandom(n))
    c.shutdown(socket.SHUT_WR)
    while c.recv(65536): pass
    c.close()
"#;

/// Asks for bytes once for each line on stdin; tells its own port.
pub(crate) const CLIENT: &str = r#"
import socket, sys
for line in sys.stdin:
    c = socket.create_connection((sys.argv[1], int(sys.argv[2])))
    c.sendall(b"%08d" % int(line))
    got = 0
    while True:
        d = c.recv(65536)
        if not d: break
        got += len(d)
    c.shutdown(socket.SHUT_WR)
    port = c.getsockname()[1]
    c.close()
    print(port, got, flush=True)
"#;

/// Both ends of connections that are older than the first line on stdin, which lets them talk.
pub(crate) const PAIR: &str = r#"
import socket, sys
a = socket.socket(); a.bind(("127.0.0.1", 0)); a.listen()
c = socket.create_connection(a.getsockname()); s, _ = a.accept()
u = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); u.bind(("::1", 5353))
v = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
v.connect(("::1", 5353))
c.sendall(b"x"); s.recv(1)
print("ready", flush=True)
sys.stdin.readline()
c.sendall(b"y" * 1000)
s.recv(1000)
v.send(b"datagram"); u.recv(100)
c.close(); s.close()
print("done", flush=True)
sys.stdin.readline()
"#;

/// Datagrams of all sizes, a refused connection, another protocol, options and extension headers.
pub(crate) const TRAFFIC: &str = r#"
import os, socket
for family, host in ((socket.AF_INET, "10.9.0.2"), (socket.AF_INET6, "fd09::2")):
    u = socket.socket(family, socket.SOCK_DGRAM)
    for size in (0, 1, 1400, 5000, 60000):
        u.sendto(os.urandom(size), (host, 9))
    c = socket.socket(family)
    try: c.connect((host, 9))
    except ConnectionRefusedError: pass
    r = socket.socket(family, socket.SOCK_RAW, 254); r.sendto(b"other protocol", (host, 0))
# IP options, and IPv6 extension headers.
o = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
o.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, b"\x07\x07\x04\0\0\0\0\0")
o.sendto(b"options", ("10.9.0.2", 9))
x = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
x.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_DSTOPTS, b"\0\0\x01\x04\0\0\0\0")
x.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_HOPOPTS, b"\0\0\x01\x04\0\0\0\0")
x.sendto(b"extensions" * 500, ("fd09::2", 9))
print("done", flush=True)
"#;

/// Waits for two datagrams.
pub(crate) const RECEIVER: &str = r#"
import socket, sys
u = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); u.bind(("::", 5454))
print("ready", flush=True)
u.recv(65536); u.recv(65536)
print("done", flush=True)
sys.stdin.readline()
"#;

/// Sends datagrams without a VLAN tag, with one, with two.
pub(crate) const TAGGED: &str = r#"
import socket, struct
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind(("pk1", 0))
def ip(payload, vlan):
    e = bytes.fromhex("ffffffffffff020000000001")
    for v in vlan: e += struct.pack("!HH", 0x8100, v)
    h = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 7, 0, 64, 17, 0, bytes([10,9,0,2]), bytes([10,9,0,9]))
    return e + b"\x08\x00" + h + payload
udp = struct.pack("!HHHH", 1234, 4321, 18, 0) + b"0123456789"
for vlan in ((), (100,), (0xe000 | 200,), (100, 200), ()):
    s.send(ip(udp, vlan))
print("done", flush=True)
"#;

/// An interface without a link header, on which a packet comes in.
pub(crate) const TUN: &str = r#"
import fcntl, os, struct, subprocess, sys
t = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(t, 0x400454ca, struct.pack("16sH22x", b"pktun", 0x1001))
for c in ("address add 10.8.0.1/24 dev pktun", "link set pktun up"):
    subprocess.check_call(["ip"] + c.split())
print("ready", flush=True)
sys.stdin.readline()
h = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28, 7, 0, 64, 17, 0, bytes([10,8,0,2]), bytes([10,8,0,9]))
os.write(t, h + struct.pack("!HHHH", 1, 4321, 8, 0))
print("done", flush=True)
sys.stdin.readline()
"#;

/// Lets a child talk to the server.
pub(crate) const PARENT: &str = r#"
import os, sys
sys.stdin.readline()
if os.fork():
    os.wait()
    print("done", flush=True)
    sys.stdin.readline()
else:
    import socket
    c = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    c.sendall(b"00000100")
    while c.recv(65536): pass
    c.close()
    os._exit(0)
"#;

/// Sends datagrams that take many fragments.
pub(crate) const FRAGMENT_SENDER: &str = r#"
import socket
for family, host in ((socket.AF_INET, "10.9.0.1"), (socket.AF_INET6, "fd09::1")):
    u = socket.socket(family, socket.SOCK_DGRAM)
    u.sendto(b"z" * 20000, (host, 5454))
print("sent", flush=True)
"#;

/// Sends a datagram into the interface.
pub(crate) const TUN_SENDER: &str = r#"
import socket
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"out", ("10.8.0.7", 4321))
print("sent", flush=True)
"#;
