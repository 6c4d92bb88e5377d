"""check.py FOLDER: is everything that script/.vm/exchange did in what was captured?

Each connection is captured at both of its ends, so every stream must be there once as sent and once
as received, equal to the byte; and the summary must agree. If FOLDER's name begins with `stalled`,
something must be lost, and with it the summary must add up to the byte. If there are packets and keys,
the keys must be those that the clients logged, and tshark must find in the packets, with no other keys
than the file's, what was sent. Prints one line; fails with the first thing that is not so.
"""

import base64
import hashlib
import json
import pathlib
import subprocess
import sys
from collections import Counter, defaultdict


def fail(folder, what):
    log = folder / "capture.log"
    if log.exists():
        sys.stderr.write(log.read_text(errors="replace"))
    sys.exit(f"{folder.name}: {what}")


def streams(folder):
    """The bytes of each (connection, direction), which must lie without a gap."""
    found = defaultdict(bytearray)
    for line in (folder / "capture.json").read_text().splitlines():
        line = json.loads(line)
        if line["kind"] != "data":
            continue
        data = base64.b64decode(line["data_b64"]) if "data_b64" in line else line["data"].encode()
        stream = found[line["conn"], line["dir"]]
        if line["offset"] != len(stream) and not folder.name.startswith("stalled"):
            fail(folder, f"connection {line['conn']} {line['dir']}: a gap at {len(stream)}")
        stream += data
    return found


def key_lines(path):
    """The lines of a key log. Those of the server are the client's."""
    return [line for line in path.read_text().splitlines() if not line.startswith("#")]


def check_packets(folder, summary, bodies):
    """Keys, and the plaintext of the packets."""
    captured, own = key_lines(folder / "keys.log"), key_lines(folder / "own.keys")
    if not own or sorted(captured) != sorted(set(own)):
        fail(folder, f"{len(captured)} keys captured of {len(set(own))}")
    packets = summary["packets"]
    if packets["seen"] != packets["written"] or packets["without_key"]:
        fail(folder, f"packets: {packets}")
    # Loopback itself changes the order of segments when a program moves to another CPU.
    joined = ["-o", "tcp.reassemble_out_of_order:TRUE"]
    taps = [word for stream in range(3) for word in ("-z", f"follow,tls,raw,{stream}")]
    tshark = subprocess.run(
        ["tshark", "-n", "-q", "-r", folder / "packets.pcapng", *joined, *taps],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={"HOME": "/nonexistent", "PATH": "/usr/bin:/bin"},
        text=True,
    ).stdout
    # One end's lines are indented.
    ways = [
        bytes.fromhex("".join(line.strip() for line in part.splitlines() if is_hex(line, way)))
        for part in tshark.split("Follow: tls,raw")[1:]
        for way in (False, True)
    ]
    for body in bodies:
        if sum(way.endswith(body) for way in ways) != 1:
            fail(folder, f"{len(body)} bytes are not what tshark finds in the packets")
    return f", {len(captured)} keys, {packets['written']} packets"


def is_hex(line, indented):
    return line.startswith("\t") == indented and all(c in "0123456789abcdef" for c in line.strip())


def check(folder):
    if not (folder / "status").exists():
        fail(folder, "the exchange was not finished")
    if (folder / "status").read_text().strip() != "0":
        fail(folder, "ecapture failed")
    found = streams(folder)
    summary = json.loads((folder / "summary.json").read_text())
    captured = {
        direction: sum(len(data) for (_, way), data in found.items() if way == direction)
        for direction in ("send", "recv")
    }
    lost = summary["lost"]
    if sum(summary["bytes"].values()) != sum(captured.values()) + lost["bytes"]:
        fail(folder, f"{captured} bytes captured, {summary['bytes']} seen, lost: {lost}")
    if folder.name.startswith("stalled"):
        if not lost["bytes"]:
            fail(folder, "nothing was lost: this tests nothing")
        return f"{sum(captured.values())} bytes, and {lost['bytes']} lost: {', '.join(lost['by'])}"
    if lost["events"] or lost["bytes"]:
        fail(folder, f"lost: {lost}")

    def digests(direction):
        return Counter(
            hashlib.sha256(data).hexdigest() for (_, way), data in found.items() if way == direction
        )

    small, large, upload = ((folder / name).read_bytes() for name in ("small", "large", "upload"))
    sent = [bytes(data) for (_, way), data in found.items() if way == "send"]
    marker = b"X-Marker: " + small.strip()
    for what, seen in (
        ("the requests", sum(marker in data for data in sent) == 2),
        ("the small response", sum(data.endswith(b"\r\n\r\n" + small) for data in sent) == 1),
        ("the large response", sum(data.endswith(b"\r\n\r\n" + large) for data in sent) == 1),
        ("the upload", sent.count(upload) == 1),
    ):
        if not seen:
            fail(folder, f"{what} is not what was captured")
    if digests("send") != digests("recv"):
        fail(folder, "what was sent is not what was received")
    more = ""
    if (folder / "packets.pcapng").exists():
        more = check_packets(folder, summary, (small, large, upload))
    return f"{len(found)} streams, {sum(captured.values())} bytes{more}, none lost"


if __name__ == "__main__":
    print(check(pathlib.Path(sys.argv[1])))
