"""Takes what a destination gets and appends it to a file, at once: receiver.py KIND WHERE FILE [CERT KEY]

KIND is tcp, tls, unix, ws or wss; WHERE a port or a path. Of a WebSocket, text messages become lines, and
binary ones are written each after its length (four bytes). "deaf" is tcp and never reads. Prints "listening" when
it does, then serves one connection after another.
"""
import base64
import hashlib
import os
import socket
import ssl
import struct
import sys

kind, where, path = sys.argv[1:4]
out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def write(data):
    while data:
        data = data[os.write(out, data):]


class Reader:
    def __init__(self, connection):
        self.connection, self.buffer = connection, bytearray()

    def exactly(self, count):
        while len(self.buffer) < count:
            more = self.connection.recv(1 << 18)
            if not more:
                raise EOFError
            self.buffer += more
        got = bytes(self.buffer[:count])
        del self.buffer[:count]
        return got

    def head(self):
        while b"\r\n\r\n" not in self.buffer:
            self.buffer += self.connection.recv(1 << 16)
        end = self.buffer.index(b"\r\n\r\n") + 4
        return self.exactly(end)


def unmask(data, mask):
    count = len(data)
    key = int.from_bytes((mask * (count // 4 + 1))[:count], "big")
    return (int.from_bytes(data, "big") ^ key).to_bytes(count, "big")


def websocket(connection):
    reader = Reader(connection)
    head = reader.head().decode()
    key = [line.split(": ")[1] for line in head.split("\r\n") if line.lower().startswith("sec-websocket-key")][0]
    accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest())
    connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
    pending = bytearray()
    while True:
        first, second = reader.exactly(2)
        count = second & 0x7f
        if count == 126:
            count, = struct.unpack(">H", reader.exactly(2))
        elif count == 127:
            count, = struct.unpack(">Q", reader.exactly(8))
        assert second & 0x80, "a client masks"
        mask = reader.exactly(4)
        payload = unmask(reader.exactly(count), mask)
        opcode = first & 0xf
        if opcode == 1:
            payload.decode()
            pending += payload + b"\n"
        elif opcode == 2:
            pending += struct.pack(">I", len(payload)) + payload
        elif opcode == 9:
            # What came before a ping is in the file before its answer goes out.
            write(bytes(pending))
            pending.clear()
            connection.sendall(bytes([0x8a, len(payload)]) + payload)
        elif opcode == 8:
            write(bytes(pending))
            connection.sendall(bytes([0x88, len(payload)]) + payload)
            return


def stream(connection):
    # Taken from the kernel once it is in the file: whenever this is killed, nothing is in between.
    # With TLS, at most 256 KiB and a record are: much less than what is sent again of what was acknowledged.
    peek = 0 if isinstance(connection, ssl.SSLSocket) else socket.MSG_PEEK
    while True:
        data = connection.recv(1 << 18, peek)
        if not data:
            return
        write(data)
        if peek:
            connection.recv(len(data), socket.MSG_WAITALL)


if kind == "unix":
    if os.path.exists(where):
        os.unlink(where)
    server = socket.socket(socket.AF_UNIX)
    server.bind(where)
    server.listen()
else:
    server = socket.create_server(("127.0.0.1", int(where)), reuse_port=False)
context = None
if kind in ("tls", "wss"):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[4], sys.argv[5])
print("listening", flush=True)
kept = []
while True:
    connection, _ = server.accept()
    try:
        if context:
            connection = context.wrap_socket(connection, server_side=True)
        if kind == "deaf":
            kept.append(connection)
        elif kind in ("ws", "wss"):
            websocket(connection)
        else:
            stream(connection)
    except (EOFError, OSError) as error:
        print("ended:", error, flush=True)
