"""The proxies of `make cluster` hold what is sent while they are cut, and know who sent it when."""

import asyncio
import os
import time
from contextlib import asynccontextmanager

from takeovers.network import Forward, Proxy


@asynccontextmanager
async def a_server():
    """A server that answers each line with itself, and its port."""
    heard = asyncio.Queue()

    async def serve(reader, writer):
        while line := await reader.readline():
            heard.put_nowait((line, writer.get_extra_info("peername")[1]))
            writer.write(line)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with asyncio.timeout(60):
        yield server.sockets[0].getsockname()[1], heard
    server.close()


async def test_what_is_sent_while_it_is_cut_arrives_when_it_is_mended():
    async with a_server() as (port, heard), Forward(port) as cut:
        reader, writer = await asyncio.open_connection("127.0.0.1", cut.port)
        writer.write(b"one\n")
        assert await reader.readline() == b"one\n"
        cut.cut()
        writer.write(b"two\n")
        assert heard.qsize() == 1
        cut.mend()
        assert await reader.readline() == b"two\n"
        writer.close()
        await writer.wait_closed()


async def test_an_end_is_seen_while_it_is_cut():
    sources = {}
    async with a_server() as (port, heard), Proxy(lambda: [os.getpid()], sources) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(f"CONNECT gateway.example.com:{port} HTTP/1.1\r\n\r\n".encode())
        assert b"200" in await reader.readuntil(b"\r\n\r\n")
        [source] = sources.values()
        assert source.pid == os.getpid()
        assert source.ended_at == float("inf")
        proxy.cut()
        writer.write(b"late\n")
        writer.close()
        await writer.wait_closed()
        await source.ended.wait()
        assert source.ended_at <= time.time()
        assert heard.empty()
        proxy.mend()
        line, from_port = await heard.get()
        assert line == b"late\n"
        assert sources[from_port, port] is source
