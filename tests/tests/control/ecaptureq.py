"""A client of the event stream, as the GUI is one: what it gets goes out as lines of JSON.

usage: ecaptureq.py PORT TARGET [HEADER...]
Reads a line of standard input before each thing it does: `read UNTIL` reads messages until one of them
contains UNTIL, `quit` ends.
"""

import base64, json, os, socket, struct, sys

port, target, headers = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
connection = socket.socket()
# So that a reader that does not read is full soon.
connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
connection.settimeout(60)
connection.connect(("127.0.0.1", port))
lines = ["GET %s HTTP/1.1" % target, "Upgrade: websocket", "Connection: Upgrade",
         "Sec-WebSocket-Version: 13",
         "Sec-WebSocket-Key: " + base64.b64encode(os.urandom(16)).decode()] + headers
if not any(header.lower().startswith("host:") for header in headers):
    lines.append("Host: 127.0.0.1:%d" % port)
connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
stream = connection.makefile("rb")
status = int(stream.readline().split()[1])
while stream.readline().strip():
    pass
print(json.dumps({"status": status}), flush=True)
if status != 101:
    sys.exit()


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if not byte & 128:
            return value, at


def fields(data):
    """The fields of a message by number; of those that come more than once, the last."""
    at, found = 0, {}
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            value, at = varint(data, at)
        elif key & 7 == 2:
            length, at = varint(data, at)
            value, at = data[at:at + length], at + length
            assert len(value) == length
        else:
            raise ValueError("wire type %d" % (key & 7))
        found[key >> 3] = value
    return found


def frame():
    first, second = stream.read(2)
    assert first == 0x82, "a whole binary message, not %x" % first
    length = second & 127
    if length == 126:
        length, = struct.unpack(">H", stream.read(2))
    elif length == 127:
        length, = struct.unpack(">Q", stream.read(8))
    return stream.read(length)


for command in sys.stdin:
    what, _, until = command.strip().partition(" ")
    if what == "quit":
        break
    while True:
        entry = fields(frame())
        kind = entry.get(1, 0)
        if kind == 0:
            beat = fields(entry[3])
            line = {"heartbeat": beat[2], "message": beat[3].decode(), "time": beat[1]}
        elif kind == 1:
            line = {"log": entry[4].decode()}
        else:
            event = fields(entry[2])
            text = lambda number: event.get(number, b"").decode()
            line = {
                "time": event.get(1, 0), "uuid": text(2),
                "src": [text(3), event.get(4, 0)], "dst": [text(5), event.get(6, 0)],
                "pid": event.get(7, 0), "pname": text(8), "type": event.get(9, 0),
                "length": event.get(10, 0), "payload": event.get(11, b"").decode("latin-1"),
                "sequence": event.get(20, 0),
            }
        line = json.dumps(line)
        print(line, flush=True)
        if until in line:
            break
