"""The same as peer.py with asyncio, whose TLS runs on memory BIOs in one thread."""
import asyncio
import ssl
import sys


def save(path, data):
    with open(path, "wb") as file:
        file.write(data)


async def server(certificate, key, connections, request_len, response, prefix):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with open(response, "rb") as file:
        response = file.read()
    left = int(connections)
    number = 0
    done = asyncio.Event()

    async def serve(reader, writer):
        nonlocal left, number
        mine, number = number, number + 1
        save(f"{prefix}-{mine}.received", await reader.readexactly(int(request_len)))
        writer.write(response)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        left -= 1
        if not left:
            done.set()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context, backlog=256)
    print("port", listener.sockets[0].getsockname()[1], flush=True)
    await done.wait()
    listener.close()


async def client(certificate, port, connections, request, response_len, prefix):
    context = ssl.create_default_context(cafile=certificate)
    with open(request, "rb") as file:
        request = file.read()
    print("ready", flush=True)
    sys.stdin.readline()

    async def connect(number):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", int(port), ssl=context, server_hostname="localhost"
        )
        writer.write(request)
        await writer.drain()
        save(f"{prefix}-{number}.received", await reader.readexactly(int(response_len)))
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(connect(number) for number in range(int(connections))))


asyncio.run({"server": server, "client": client}[sys.argv[1]](*sys.argv[2:]))
