"""Two exchanges that no program at hand makes: STARTTLS and QUIC. Called by record.sh."""

import asyncio
import socket
import ssl
import sys
import threading

KEYS = sys.argv[1]
BODY = open("body", "rb").read()


def starttls(port):
    """TLS after a plain beginning, in which the ClientHello comes in two segments."""
    listener = socket.create_server(("127.0.0.1", port))

    def serve():
        plain, _ = listener.accept()
        plain.sendall(b"220 ready\r\n")
        assert plain.recv(100) == b"STARTTLS\r\n"
        plain.sendall(b"220 go ahead\r\n")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain("cert.pem", "key.pem")
        with context.wrap_socket(plain, server_side=True) as tls:
            tls.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + BODY)
            tls.unwrap()

    thread = threading.Thread(target=serve)
    thread.start()
    plain = socket.create_connection(("127.0.0.1", port))
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    assert plain.recv(100) == b"220 ready\r\n"
    plain.sendall(b"STARTTLS\r\n")
    assert plain.recv(100) == b"220 go ahead\r\n"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.keylog_filename = KEYS
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    got, first = b"", True
    while True:
        try:
            data = tls.read(65536)
            if not data:
                break
            got += data
            continue
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            break
        sending = outgoing.read()
        if first:
            plain.sendall(sending[:3])
            plain.sendall(sending[3:100])
            sending, first = sending[100:], False
        plain.sendall(sending)
        received = plain.recv(65536)
        if not received:
            break
        incoming.write(received)
    assert got.endswith(BODY), got[:100]
    plain.close()
    thread.join()


async def quic(port):
    from aioquic.asyncio import QuicConnectionProtocol, connect, serve
    from aioquic.h3.connection import H3_ALPN, H3Connection
    from aioquic.h3.events import DataReceived, HeadersReceived
    from aioquic.quic.configuration import QuicConfiguration

    class Http3(QuicConnectionProtocol):
        http, got, done = None, b"", None

        def quic_event_received(self, event):
            if self.http is None:
                self.http = H3Connection(self._quic)
            for http in self.http.handle_event(event):
                if isinstance(http, HeadersReceived) and not self._quic.configuration.is_client:
                    self.http.send_headers(http.stream_id, [(b":status", b"200")])
                    self.http.send_data(http.stream_id, BODY, end_stream=True)
                    self.transmit()
                if isinstance(http, DataReceived):
                    self.got += http.data
                    if http.stream_ended:
                        self.done.set()

    server = QuicConfiguration(is_client=False, alpn_protocols=H3_ALPN)
    server.load_cert_chain("cert.pem", "key.pem")
    listening = await serve("127.0.0.1", port, configuration=server, create_protocol=Http3)
    client = QuicConfiguration(
        is_client=True, alpn_protocols=H3_ALPN, verify_mode=ssl.CERT_NONE, server_name="localhost",
        secrets_log_file=open(KEYS, "a"),
    )
    async with connect("127.0.0.1", port, configuration=client, create_protocol=Http3) as http3:
        http3.done = asyncio.Event()
        http3.http = http3.http or H3Connection(http3._quic)
        http3.http.send_headers(
            http3._quic.get_next_available_stream_id(),
            [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"localhost"),
             (b":path", b"/body")],
            end_stream=True,
        )
        http3.transmit()
        await http3.done.wait()
        assert http3.got == BODY
    client.secrets_log_file.close()
    listening.close()


starttls(46011)
asyncio.run(quic(46012))
