"""Reads proto/ecapture.proto without anything of ecapture's: decode.py FRAMING FILE

FRAMING is varint (a file or stream) or four (what receiver.py makes of binary messages). Prints a line of JSON
for each event."""
import base64
import json
import struct
import sys


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7f) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def fields(data):
    at, found = 0, {}
    while at < len(data):
        tag, at = varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = varint(data, at)
        elif kind == 2:
            count, at = varint(data, at)
            value, at = data[at:at + count], at + count
        else:
            raise ValueError(f"wire type {kind}")
        found.setdefault(tag >> 3, []).append(value)
    return found


framing, path = sys.argv[1:3]
data = open(path, "rb").read()
at = 0
while at < len(data):
    if framing == "varint":
        count, at = varint(data, at)
    else:
        count, at = struct.unpack_from(">I", data, at)[0], at + 4
    entry = fields(data[at:at + count])
    at += count
    if entry.get(1) != [2]:
        continue
    event = fields(entry[2][0])
    one = lambda number, default=0: event.get(number, [default])[0]
    print(json.dumps({
        "timestamp": one(1), "uuid": one(2, b"").decode(), "src": [one(3, b"").decode(), one(4)],
        "dst": [one(5, b"").decode(), one(6)], "pid": one(7), "comm": one(8, b"").decode(), "type": one(9),
        "length": one(10), "payload": base64.b64encode(one(11, b"")).decode(), "sequence": one(20),
        "dir": {1: "send", 2: "recv"}[one(21)], "tid": one(22), "uid": one(23), "conn": one(25),
        "offset": fields(one(40, b"")).get(1, [0])[0],
    }))
