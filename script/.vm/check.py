"""check.py FOLDER: is everything that script/.vm/exchange did in what was captured?

Each connection is captured at both of its ends, so every stream must be there once as sent and once
as received, equal to the byte; and the summary must agree. If FOLDER's name begins with `stalled`,
something must be lost, and with it the summary must add up to the byte. Prints one line; fails with
the first thing that is not so.
"""

import base64
import hashlib
import json
import pathlib
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
    return f"{len(found)} streams, {sum(captured.values())} bytes, none lost"


if __name__ == "__main__":
    print(check(pathlib.Path(sys.argv[1])))
