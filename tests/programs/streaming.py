"""An HTTPS server that says one thing at a time, and only when told to.

server CERTIFICATE KEY          serves one connection; what it is asked for decides:
                                /events      server-sent events, chunked
                                /websocket   a WebSocket, text messages
                                Each line on standard input is sent as one event or message; the end
                                of the input ends the stream.
websocket CERTIFICATE PORT      a client that connects when the first line comes on its input, sends
                                each further line as a masked text message, and ends when the server
                                closes. It says "waiting" when its libraries are loaded.
"""
import base64
import hashlib
import os
import socket
import ssl
import struct
import sys


def read_head(tls):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        part = tls.recv(1)
        if not part:
            sys.exit("the peer closed early")
        head += part
    return head


def frame(opcode, payload, mask=b""):
    assert len(payload) < 126
    length = len(payload) | (0x80 if mask else 0)
    if mask:
        payload = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    return struct.pack("!BB", 0x80 | opcode, length) + mask + payload


def events(tls):
    tls.sendall(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    for line in sys.stdin:
        event = f"data: {line.strip()}\n\n".encode()
        tls.sendall(b"%x\r\n%s\r\n" % (len(event), event))
    tls.sendall(b"0\r\n\r\n")


def websocket(tls, head):
    key = next(line[19:] for line in head.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Key: "))
    accept = base64.b64encode(
        hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    )
    tls.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
    for line in sys.stdin:
        tls.sendall(frame(1, line.strip().encode()))
    tls.sendall(frame(8, struct.pack("!H", 1000)))


def server(certificate, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listener = socket.create_server(("127.0.0.1", 0))
    print("port", listener.getsockname()[1], flush=True)
    with context.wrap_socket(listener.accept()[0], server_side=True) as tls:
        head = read_head(tls)
        if head.startswith(b"GET /events "):
            events(tls)
        else:
            websocket(tls, head)


def client(certificate, port):
    context = ssl.create_default_context(cafile=certificate)
    print("waiting", flush=True)
    sys.stdin.readline()
    with socket.create_connection(("127.0.0.1", int(port))) as connection:
        with context.wrap_socket(connection, server_hostname="localhost") as tls:
            tls.sendall(
                b"GET /websocket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                b"Sec-WebSocket-Key: " + base64.b64encode(os.urandom(16)) + b"\r\n\r\n"
            )
            assert read_head(tls).startswith(b"HTTP/1.1 101 ")
            for line in sys.stdin:
                tls.sendall(frame(1, line.strip().encode(), os.urandom(4)))
            while tls.recv(100):
                pass


{"server": server, "websocket": client}[sys.argv[1]](*sys.argv[2:])
