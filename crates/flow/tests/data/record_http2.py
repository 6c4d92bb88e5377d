#!/usr/bin/env python3
"""Writes http2.txt: what an HTTP/2 client sends and receives, one library call a line.

Uses h2 (https://pypi.org/project/h2/), an implementation that is not ours.
"""

import gzip
import pathlib

import h2.config
import h2.connection
import h2.settings

lines = []


def pump(client, server):
    while True:
        sent = client.data_to_send()
        if sent:
            lines.append(f"send {sent.hex()}")
            server.receive_data(sent)
        received = server.data_to_send()
        if received:
            lines.append(f"recv {received.hex()}")
            client.receive_data(received)
        if not sent and not received:
            return


def request(method, path, **more):
    fields = [(":method", method), (":scheme", "https"), (":authority", "example.org"), (":path", path)]
    return fields + [(name.replace("_", "-"), value) for name, value in more.items()]


client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
client.initiate_connection()
server.initiate_connection()
pump(client, server)

# 1: a request without a body, a response with one.
client.send_headers(1, request("GET", "/first", user_agent="h2", x_same="a value that is used again"), end_stream=True)
pump(client, server)
server.send_headers(1, [(":status", "200"), ("content-type", "text/plain"), ("server", "h2-server")])
server.send_data(1, b"first ", pad_length=7)
server.send_data(1, b"body", end_stream=True)
pump(client, server)

# 3 and 5: two at a time, bodies interleaved, trailers on one, gzip on the other.
client.send_headers(3, request("POST", "/third", x_same="a value that is used again"),
                    priority_weight=20, priority_depends_on=1)
client.send_headers(5, request("POST", "/fifth", x_same="a value that is used again"))
client.send_data(3, b"three ")
client.send_data(5, b"five ")
client.send_data(3, b"more", end_stream=True)
client.send_data(5, b"more")
client.send_headers(5, [("x-checksum", "5")], end_stream=True)
pump(client, server)
server.send_headers(5, [(":status", "103"), ("link", "</style.css>")])
server.send_headers(5, [(":status", "404"), ("content-encoding", "gzip"), ("server", "h2-server")])
server.send_headers(3, [(":status", "204"), ("server", "h2-server")], end_stream=True)
zipped = gzip.compress(b"not found " * 20, mtime=0)
server.send_data(5, zipped[:20])
server.send_data(5, zipped[20:])
server.send_headers(5, [("x-trailer", "t")], end_stream=True)
pump(client, server)

# 7: a head that needs CONTINUATION frames, and a push.
client.update_settings({h2.settings.SettingCodes.HEADER_TABLE_SIZE: 0})
pump(client, server)
client.send_headers(7, request("GET", "/seventh") + [(f"x-large-{n}", "y%x" % n * 1000) for n in range(12)], end_stream=True)
pump(client, server)
server.push_stream(7, 2, request("GET", "/pushed"))
server.send_headers(7, [(":status", "200"), ("server", "h2-server")], end_stream=True)
server.send_headers(2, [(":status", "200"), ("server", "h2-server")])
server.send_data(2, b"pushed body", end_stream=True)
pump(client, server)

# 9: reset by the server in the middle of the body.
client.send_headers(9, request("GET", "/ninth"), end_stream=True)
pump(client, server)
server.send_headers(9, [(":status", "200")])
server.send_data(9, b"only a part")
server.reset_stream(9, error_code=2)
client.ping(b"12345678")
pump(client, server)

# 11: gRPC, a stream of messages with trailers.
client.send_headers(11, request("POST", "/grpc", content_type="application/grpc"))
client.send_data(11, b"\0\0\0\0\x02hi", end_stream=True)
pump(client, server)
server.send_headers(11, [(":status", "200"), ("content-type", "application/grpc")])
server.send_data(11, b"\0\0\0\0\x03one")
pump(client, server)
server.send_data(11, b"\0\0\0\0\x03two")
server.send_headers(11, [("grpc-status", "0")], end_stream=True)
pump(client, server)
client.close_connection()
pump(client, server)

pathlib.Path(__file__).with_name("http2.txt").write_text("\n".join(lines) + "\n")
