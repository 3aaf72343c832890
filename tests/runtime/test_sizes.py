"""N4: what the grant allows reaches the guest and leaves it, whatever the queue's policy.

The suite takes a sample; `make sizes` takes every size, kind, way of cutting, direction and policy.
"""

import hashlib
import itertools
import os

import pytest
from tests.runtime.test_frame_path import Workspace, gateway

from yoi.limits import KIB, LIMITS, MIB

WHOLE = os.environ.get("YOI_SIZES") == "all"
POLICIES = ["pause", "drop_oldest", "drop_newest", "disconnect"]
SIZES = [64 * KIB, 256 * KIB, 1 * MIB, 4 * MIB, 8 * MIB, 11 * MIB, 16 * MIB]
PIECES = [None, 1 * KIB, 4 * KIB, 64 * KIB]
PLUGIN = """
import hashlib
from yoi_pdk import BinaryEvent, Plugin, Send, TextEvent

PIECES = {"text": "x", "json": '{"a":1},', "emoji": "\\U0001f600"}

def made(kind, size):
    if kind == "binary":
        return bytes(size)
    if kind == "json":
        return ("[" + PIECES[kind] * (size // 8))[: size - 2] + "0]"
    return PIECES[kind] * (size // len(PIECES[kind].encode()))

class Sizes(Plugin):
    def on_event(self, event, ctx):
        if isinstance(event, TextEvent):
            if event.text.startswith("send "):
                _, kind, size = event.text.split()
                body = made(kind, int(size))
                return Send(data=body) if kind == "binary" else Send(text=body)
            raw = event.text.encode()
        elif isinstance(event, BinaryEvent):
            raw = event.data
        else:
            return None
        return Send(text=f"{len(raw)} {hashlib.md5(raw).hexdigest()}")
"""
MANIFEST = """
schema_version = 1
id = "echo"
name = "Sizes"
version = "0.1.0"

[runtime]
kind = "python"
runner = "1"
entry = "plugin:Sizes"
memory_bytes = {memory}

[[services]]
name = "sizes"

[[ingresses]]
name = "events"
deadline_ms = 30000

[[connections]]
name = "gateway"
ingress = "events"
url = "{url}"
target = {{ scheme = "ws", host = "127.0.0.1", port = {port}, path_prefixes = ["/"], max_message_bytes = {allowed} }}
deliver = ["text", "binary"]
on_full = "{policy}"
backoff = {{ first_ms = 100, max_ms = 100 }}
"""  # noqa: E501
MEMORY = 432 * MIB
"""What the refusal names for 16 MiB of dense JSON, the dearest case; see the last test."""
KINDS = {
    "text": lambda size: "x" * size,
    "json": lambda size: ("[" + '{"a":1},' * (size // 8))[: size - 2] + "0]",
    "emoji": lambda size: "\U0001f600" * (size // 4),
    "binary": bytes,
}
SAMPLE = [
    ("text", 64 * KIB, 1 * KIB),
    ("json", 1 * MIB, None),
    ("emoji", 1 * MIB, 64 * KIB),
    ("binary", 1 * MIB, 4 * KIB),
]
LARGEST = [("text", 16 * MIB, None), ("binary", 16 * MIB, 64 * KIB)]


def cases(policy):
    if WHOLE:
        return list(itertools.product(KINDS, SIZES, PIECES))
    return [*SAMPLE, *LARGEST] if policy == "drop_oldest" else SAMPLE


def in_pieces(message, piece):
    if piece is None:
        return message
    step = piece if isinstance(message, bytes) else max(1, piece // len(message[:1].encode()))
    return [message[at : at + step] for at in range(0, len(message), step)]


def install(workspace, server, policy, allowed=LIMITS.message_max_bytes, memory=MEMORY):
    parts = {"port": server.port, "policy": policy, "allowed": allowed, "memory": memory}
    manifest = MANIFEST
    for name, value in parts.items():
        manifest = manifest.replace("{" + name + "}", str(value))
    workspace.install(server.url, PLUGIN, manifest=manifest)
    workspace.enable()


@pytest.fixture
def workspace(tmp_path, compiled_runner):
    return Workspace(tmp_path)


@pytest.mark.parametrize("policy", POLICIES)
async def test_every_granted_size_reaches_the_guest_and_leaves_it(workspace, policy):
    async with gateway(most=LIMITS.message_max_bytes) as server:
        install(workspace, server, policy)
        async with workspace.runtime() as runtime:
            await server.until(lambda: server.clients)
            for kind, size, piece in cases(policy):
                message = KINDS[kind](size)
                raw = message.encode() if isinstance(message, str) else message
                server.received.clear()
                await server.clients[0].send(in_pieces(message, piece))
                await server.until(lambda: server.received, 120)
                digest = hashlib.md5(raw, usedforsecurity=False).hexdigest()
                assert server.received == [f"{len(raw)} {digest}"]
                if piece is None or not WHOLE:
                    server.received.clear()
                    await server.ask(f"send {kind} {size}")
                    await server.until(lambda: server.received, 120)
                    assert server.received[0] == message
            service = runtime.services["echo"]
            status = service.status()
        assert len(server.clients) == 1, "nothing was dialled again"
        assert status.counters.restarts == 0
        assert (status.connections[0].gaps, len(service.dead_letters)) == (0, 0)


async def test_more_than_is_granted_ends_it_for_good_with_the_key_and_the_guest_lives(workspace):
    async with gateway() as server:
        install(workspace, server, "pause", allowed=1 * MIB)
        async with workspace.runtime() as runtime:
            for count in range(1, LIMITS.oversized_sessions + 1):
                await server.until(lambda count=count: len(server.clients) == count)
                await server.clients[-1].send("x" * (1 * MIB + 1))
                await server.clients[-1].wait_closed()
            service = runtime.services["echo"]
            await workspace.diagnostics.until(
                lambda: service.status().connections[0].halt == "oversized"
            )
            status = service.status()
        assert status.lifecycle in ("running", "degraded")
        hints = [one.hint for one in workspace.diagnostics if one.code == "connection.oversized"]
        assert ["max_message_bytes = 1048577" in hint for hint in hints] == [True]
        assert len(server.clients) == LIMITS.oversized_sessions


async def test_more_than_is_granted_is_not_sent_and_the_refusal_names_the_key(workspace):
    """The way out has no cutting: the host sends a message as one frame, whatever its kind."""
    async with gateway(most=LIMITS.message_max_bytes) as server:
        install(workspace, server, "pause", allowed=2 * MIB)
        async with workspace.runtime() as runtime:
            await server.until(lambda: server.clients)
            for count, kind in enumerate(KINDS, 1):
                await server.ask(f"send {kind} {2 * MIB + 8}")
                await workspace.diagnostics.until(
                    lambda count=count: (
                        workspace.diagnostics.codes.count("connection.too_big") == count
                    )
                )
                server.received.clear()
                await server.ask(f"send {kind} {2 * MIB}")
                await server.until(lambda: server.received, 60)
                assert server.received == [KINDS[kind](2 * MIB)]
            status = runtime.services["echo"].status()
        hints = [one.hint for one in workspace.diagnostics if one.code == "connection.too_big"]
        assert [f"max_message_bytes = {2 * MIB + 8}" in hint for hint in hints] == [True] * 4
        assert (len(server.clients), status.counters.restarts) == (1, 0)


async def test_what_the_guests_memory_can_not_hold_is_refused_with_the_memory_that_holds_it(
    workspace,
):
    message = KINDS["json"](16 * MIB)
    async with gateway(most=LIMITS.message_max_bytes) as server:
        install(workspace, server, "pause", memory=256 * MIB)
        async with workspace.runtime() as runtime:
            await server.until(lambda: server.clients)
            await server.ask(message)
            await workspace.diagnostics.until(
                lambda: "sandbox.memory" in workspace.diagnostics.codes
            )
            await server.ask("small")
            await server.until(lambda: server.received)
            service = runtime.services["echo"]
            status, dead = service.status(), len(service.dead_letters)
        hints = [one.hint for one in workspace.diagnostics if one.code == "sandbox.memory"]
        assert [f"memory_bytes = {MEMORY} under [runtime]" in hint for hint in hints] == [True]
        assert server.received[0].startswith("5 ")
        assert (dead, status.counters.restarts, len(server.clients)) == (1, 0, 1)
