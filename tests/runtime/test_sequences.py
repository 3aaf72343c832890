"""A feed that is proved whole, with real parts: socket, host, log and sandboxed plugin."""

import json

import pytest
from tests.runtime.test_frame_path import Workspace, gateway, link

FEED = """
import json
from yoi_pdk import *

class Echo(Plugin):
    def on_event(self, event, ctx):
        if isinstance(event, GapEvent) and event.why == "sequence":
            return Send(session="current", connection="gateway", text=json.dumps(
                ["gap", event.count, event.missing]))

    def on_text(self, event, ctx):
        if event.text == "beat":
            return [Heartbeat("gateway", 1_000, text="h", ack=("", "a")),
                    Autoreply("gateway", when=("", "ping"), text="pong")]
        return Send(text=json.dumps([event.text, event.duplicate]))
"""

MANIFEST = """
schema_version = 1
id = "echo"
name = "Echo"
version = "0.1.0"

[runtime]
kind = "python"
runner = "1"
entry = "plugin:Echo"

[[ingresses]]
name = "events"
deadline_ms = {deadline_ms}
durability = "%s"

[[connections]]
name = "gateway"
ingress = "events"
url = "{url}"
deliver = ["text", "open", "close", "gap"]
backoff = {{ first_ms = 100, max_ms = 200 }}
expect_every_ms = 60000
sequence = {{ first = "/U", last = "/u", per = "/s" }}
"""


@pytest.fixture
def workspace(tmp_path, compiled_runner):
    return Workspace(tmp_path)


def update(first, last, market="BTC"):
    return json.dumps({"U": first, "u": last, "s": market})


@pytest.mark.parametrize("durability", ["memory", "disk"])
async def test_missing_updates_are_told_and_repetitions_are_marked(workspace, durability):
    async with gateway() as server:
        manifest = MANIFEST % durability
        workspace.install(server.url, FEED, manifest=manifest)
        workspace.enable()
        async with workspace.runtime() as runtime:
            await server.until(lambda: server.clients)
            one, two, seven = update(1, 3), update(4, 4), update(7, 9)
            other, broken = update(70, 70, "ETH"), '{"U": "x", "u": 12, "s": "BTC"}'
            await server.ask(
                one, two, other, two, seven, broken, update(2**60, 2**60), update(8, 9)
            )
            await server.until(lambda: len(server.received) == 9)
            assert [json.loads(text) for text in server.received] == [
                [one, False],
                [two, False],
                [other, False],
                [two, True],
                ["gap", 2, [["BTC", 5, 6]]],
                [seven, False],
                [broken, False],
                [update(2**60, 2**60), False],
                [update(8, 9), True],
            ]
            status = link(runtime.services["echo"])
            assert status.sequence_gaps == 1
            assert status.sequence_duplicates == 2
            assert status.sequence_unread == 2
            assert workspace.codes().count("notice.sequence") == 1, "once per session and cause"
            assert workspace.diagnostics.first("notice.gap").fields["missing"] == [
                {"per": "BTC", "first": 5, "last": 6}
            ]


async def test_silence_is_of_messages_not_of_acknowledgements(workspace):
    """A connection that only acknowledges is deaf; its last news says since when."""
    async with gateway() as server:
        manifest = MANIFEST % "memory"
        workspace.install(server.url, FEED, manifest=manifest)
        workspace.enable()
        async with workspace.runtime() as runtime:
            service = runtime.services["echo"]
            await server.until(lambda: server.clients)
            await server.ask("beat")
            await server.until(lambda: "h" in server.received)
            before = link(service)
            await server.ask("a", "ping")
            await server.until(lambda: "pong" in server.received)
            after = link(service)
            assert after.frames_in == before.frames_in + 2
            assert after.last_ack_at is not None
            # Both are told from a monotonic moment, so the last digit may differ.
            assert after.last_news_at < after.last_frame_at
