"""The driver against a server written by others, in another language (W1)."""

import asyncio
import os
import shutil
import subprocess

import pytest

_SERVER = """
const { WebSocketServer } = require('ws');
const server = new WebSocketServer({ port: 0, host: '127.0.0.1' }, () =>
  console.log(server.address().port));
server.on('connection', socket => {
  socket.send('welcome');
  socket.on('message', (data, binary) => {
    if (data.toString() === 'bye') socket.close(4100, 'as you wish');
    else if (data.toString() === 'die') socket.terminate();
    else if (data.toString() === 'ping') socket.ping('are you there');
    else socket.send(data, { binary });
  });
  socket.on('pong', data => socket.send('pong ' + data));
});
"""


def _environment():
    """Return node's path and an environment that has `ws`, or skip saying what is missing.

    Looked for among the global packages and on NODE_PATH.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are not installed here")
    root = subprocess.run([npm, "root", "-g"], capture_output=True, text=True, check=True)
    known = [root.stdout.strip(), os.environ.get("NODE_PATH", "")]
    environment = {**os.environ, "NODE_PATH": os.pathsep.join(filter(None, known))}
    probe = subprocess.run([node, "-e", "require('ws')"], env=environment, capture_output=True)
    if probe.returncode != 0:
        pytest.skip("the npm package ws is neither global nor on NODE_PATH here")
    return node, environment


@pytest.fixture
async def node_server():
    node, environment = await asyncio.to_thread(_environment)
    process = await asyncio.create_subprocess_exec(
        node, "-e", _SERVER, env=environment, stdout=asyncio.subprocess.PIPE
    )
    port = int(await process.stdout.readline())
    yield f"ws://127.0.0.1:{port}/", process
    if process.returncode is None:
        process.kill()
    await process.wait()
    process._transport.close()


async def test_conversation_with_node_ws(connect, node_server):
    """Text, binary, large messages, ping, close code and reason, a cut line, a killed server."""
    url, process = node_server
    host, sink = connect(url, subprotocols=())
    _, session, *_ = await sink.next("opened")
    assert (await sink.next("text"))[2] == "welcome"
    for text in ("grüße", "x" * 125, "y" * 126, "z" * 65_536, "w" * 900_000):
        host.send_text(session, text)
        assert (await sink.next("text"))[2] == text
    host.send_binary(session, bytes(range(256)))
    assert (await sink.next("binary"))[2] == bytes(range(256))
    host.send_text(session, "ping")
    assert (await sink.next("text"))[2] == "pong are you there"
    host.send_text(session, "bye")
    assert (await sink.next("closed"))[2:] == (4100, "as you wish", True)
    _, session, *_ = await sink.next("opened")
    host.send_text(session, "die")
    assert (await sink.next("closed"))[2] == 1006
    assert (await sink.next("failed"))[1].code == "connection.lost"
    await sink.next("opened")
    process.kill()
    assert (await sink.next("closed"))[4] is False
    assert host.status().reconnects == 2
