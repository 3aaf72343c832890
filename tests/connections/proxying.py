"""Proxies of this machine: they lead from any address to the same port here."""

import asyncio
import contextlib
from ipaddress import ip_address

from tests.connections.raw import RawServer


async def join(reader, writer, port):
    """Carry bytes between the client and a server of this machine."""
    there, back = await asyncio.open_connection("127.0.0.1", port)

    async def carry(source, sink):
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
        sink.close()

    await asyncio.gather(carry(reader, back), carry(there, writer))


class HttpProxy(RawServer):
    """Leads from any address to the same port of this machine, as CONNECT asks."""

    def __init__(self, answer=b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n"):
        super().__init__(self._lead)
        self.answer = answer
        self.heads = []

    async def _lead(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        writer.write(self.answer)
        await writer.drain()
        if b" 200 " in self.answer:
            await join(reader, writer, int(head.split()[1].rpartition(":")[2]))
        writer.close()

    def at(self, login=""):
        return f"http://{login}127.0.0.1:{self.port}"


class SocksProxy(RawServer):
    """The same by SOCKS 5; `login` is what it wants, `refuse` what it answers."""

    def __init__(self, login=None, refuse=0, bound=b"\x01\0\0\0\0\0\0"):
        super().__init__(self._lead)
        self.login, self.refuse, self.bound = login, refuse, bound
        self.asked = []

    async def _lead(self, reader, writer):
        _, count = await reader.readexactly(2)
        methods = await reader.readexactly(count)
        wanted = 0 if self.login is None else 2
        writer.write(bytes((5, wanted if wanted in methods else 255)))
        if wanted == 2 and 2 in methods:
            _, size = await reader.readexactly(2)
            user = await reader.readexactly(size)
            password = await reader.readexactly((await reader.readexactly(1))[0])
            writer.write(bytes((1, 0 if (user, password) == self.login else 1)))
        kind = (await reader.readexactly(4))[3]
        if kind == 3:
            asked = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        else:
            asked = str(ip_address(await reader.readexactly(4 if kind == 1 else 16)))
        port = int.from_bytes(await reader.readexactly(2), "big")
        self.asked.append((asked, port))
        writer.write(bytes((5, self.refuse, 0)) + self.bound)
        if not self.refuse:
            await join(reader, writer, port)
        writer.close()

    def at(self, login=""):
        return f"socks5://{login}127.0.0.1:{self.port}"
