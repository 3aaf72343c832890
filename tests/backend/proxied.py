"""A proxy with a login of its own, in front of a backend."""

import asyncio
import contextlib


@contextlib.asynccontextmanager
async def basic_auth_proxy(authority: str):
    """Yield the authority of a proxy that lets in only who has its password."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            writer.close()
            return
        if b"Basic dXNlcjpwYXNz" not in head:  # user:pass
            writer.write(
                b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=proxy\r\n"
                b"Content-Length: 0\r\nConnection: close\r\n\r\n"
            )
        else:
            host, _, port = authority.rpartition(":")
            there, to = await asyncio.open_connection(host, int(port))
            head = head.replace(b"Connection: keep-alive", b"Connection: close")  # one each
            to.write(head.replace(here.encode(), authority.encode()))
            copying = [asyncio.create_task(copy(*way)) for way in ((reader, to), (there, writer))]
            await asyncio.wait(copying, return_when=asyncio.FIRST_COMPLETED)
            for task in copying:
                task.cancel()
            await asyncio.gather(*copying, return_exceptions=True)
            to.close()
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    here = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield here
