"""`yoi watch` beside a real `yoi serve`, which is stopped and started again meanwhile."""

import json
import signal

import pytest
from tests.cli.test_live import is_ready, running

from yoi.testing.trusting import trust_workspace

pytestmark = pytest.mark.slow

WORKER = """
[observation]
listen = "127.0.0.1:0"

[[workers]]
name = "triage"
model = "scripted"

[[workers.script]]
when = "help"
say = "on it"
"""


def kind(wanted):
    return lambda value: value["kind"] == wanted


def event(name):
    return lambda value: value["kind"] == "event" and value["event"]["event"] == name


ended = event("run_end")


@pytest.mark.usefixtures("interrupts")
def test_a_watch_outlives_the_host(yoi, workspace):
    """U3, O3: the port and the token are new; the watch goes on, and says what it missed."""
    (workspace / ".yoi").mkdir()
    (workspace / ".yoi" / "yoi.toml").write_text(WORKER)
    trust_workspace(workspace)
    with running(workspace, "serve", "--port", "0") as (host, until):
        until(is_ready)
        with running(workspace, "watch", "tickets") as (_, told):
            assert told(kind("snapshot"))["event"]["data"] == {"items": [], "entries": []}
            assert yoi("ticket", "new", "Mend the door", "--message", "x").status == 0
            assert told(event("ticket_changed"))["event"]["data"]["title"] == "Mend the door"
            assert told(event("thread_added"))["event"]["data"]["kind"] == "create"
        with running(workspace, "watch", "triage") as (watch, seen):
            assert seen(kind("snapshot"))["event"]["data"]["entries"] == []
            assert yoi("worker", "run", "triage", "help").status == 0
            seen(ended)
            listed = json.loads(yoi("watch", "--count", "1", "--json").out)
            assert [row["id"] for row in listed["runtimes"][0]["workers"]] == ["triage"]
            host.send_signal(signal.SIGTERM)
            assert host.wait(20) == 0
            assert seen(kind("disconnected"))["reason"] == "shutdown"
            with running(workspace, "serve", "--port", "0") as (second, ready):
                ready(is_ready)
                seen(kind("reconnected"))
                assert seen(kind("resync"))["code"] == "backend.cursor_epoch_changed"
                entries = seen(kind("snapshot"))["event"]["data"]["entries"]
                assert [entry["type"] for entry in entries][-1] == "run_end"
                assert yoi("worker", "run", "triage", "help").status == 0
                seen(ended)
                watch.send_signal(signal.SIGINT)
                assert watch.wait(20) == 0
                second.send_signal(signal.SIGTERM)
                assert second.wait(20) == 0
