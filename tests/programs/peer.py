"""A TLS client or server over sockets that exchanges exactly what it is told to.

server CERTIFICATE KEY CONNECTIONS REQUEST_LEN RESPONSE_FILE RECEIVED_PREFIX
client CERTIFICATE PORT CONNECTIONS REQUEST_FILE RESPONSE_LEN RECEIVED_PREFIX
"""
import socket
import ssl
import sys
import threading


def receive(tls, wanted, path):
    with open(path, "wb") as file:
        while wanted:
            data = tls.recv(min(wanted, 1 << 20))
            if not data:
                sys.exit(f"the peer closed {wanted} bytes early")
            file.write(data)
            wanted -= len(data)


def run(threads):
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def server(certificate, key, connections, request_len, response, prefix):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with open(response, "rb") as file:
        response = file.read()
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    print("port", listener.getsockname()[1], flush=True)

    def serve(number, connection):
        with context.wrap_socket(connection, server_side=True) as tls:
            receive(tls, int(request_len), f"{prefix}-{number}.received")
            tls.sendall(response)
            tls.unwrap()

    threads = []
    for number in range(int(connections)):
        thread = threading.Thread(target=serve, args=(number, listener.accept()[0]))
        thread.start()
        threads.append(thread)
    for thread in threads:
        thread.join()


def client(certificate, port, connections, request, response_len, prefix):
    context = ssl.create_default_context(cafile=certificate)
    with open(request, "rb") as file:
        request = file.read()
    print("ready", flush=True)
    sys.stdin.readline()

    def connect(number):
        with socket.create_connection(("127.0.0.1", int(port))) as connection:
            with context.wrap_socket(connection, server_hostname="localhost") as tls:
                tls.sendall(request)
                receive(tls, int(response_len), f"{prefix}-{number}.received")
                tls.unwrap()

    run([threading.Thread(target=connect, args=(number,)) for number in range(int(connections))])


{"server": server, "client": client}[sys.argv[1]](*sys.argv[2:])
