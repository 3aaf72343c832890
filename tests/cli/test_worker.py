"""`yoi worker` against real workers behind the real control socket."""

import asyncio
import json
import threading
from contextlib import contextmanager

import pytest
from tests.cli.terminal import at_terminal
from tests.control.served import served
from tests.redactors import NoRedaction
from tests.workers.test_tools import Plugins
from tests.workers.test_worker_set import NoSecrets, note, profile

from yoi.errors import WorkerError
from yoi.journal.memory import MemoryJournal
from yoi.testing import ManualClock
from yoi.workers.failed import FailedWorker
from yoi.workers.operations import WorkerOperations
from yoi.workers.worker_set import WorkerContext, WorkerSet

HOSTILE = "\x1b[2J\x1b]0;pwned\x07[red]x[/red]\u202egnp.exe\x9b31m\rfake: ok"
SCRIPT = [
    {"when": "help", "say": "on it", "call": "reply", "arguments": {"text": "coming"}},
    {"when": "hostile", "say": HOSTILE, "call": HOSTILE, "arguments": {"text": HOSTILE}},
    {"when": "", "say": "two\nlines"},
]


@contextmanager
def host(workspace, *profiles, during=None, faulty=()):
    """Run the workers of `profiles` in a host's thread; `during(worker_set)` runs on its loop."""
    ready, ends = threading.Event(), []

    async def main():
        clock = ManualClock()
        worker_set = WorkerSet(
            WorkerContext(
                journal=MemoryJournal(),
                plugins=Plugins(),
                secrets=NoSecrets(),
                redactor=NoRedaction(),
                clock=clock,
            )
        )
        await worker_set.apply(profiles, faulty)
        async with served(workspace, WorkerOperations(worker_set, clock).methods):
            if during is not None:
                await during(worker_set)
            done = asyncio.Event()
            ends.append((asyncio.get_running_loop(), done))
            ready.set()
            await done.wait()
            await worker_set.stop()

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    try:
        assert ready.wait(20)
        yield
    finally:
        loop, done = ends[0]
        loop.call_soon_threadsafe(done.set)
        thread.join(20)


def test_run_follows_the_answer_live_and_exits_with_its_result(yoi, workspace):
    with host(workspace, profile(script=SCRIPT)):
        ran = yoi("worker", "run", "w", "please help")
        assert ran.status == 0
        assert ran.out.splitlines() == [
            "> please help",
            "on it",
            '→ reply {"text":"coming"}',
            '← {"sent":"coming"}',
            "done",
            "run finished",
        ]
        assert yoi("worker", "run", "w", "else").out.splitlines()[1:3] == ["two", "lines"]


def test_run_in_json_is_one_event_a_line(yoi, workspace):
    with host(workspace, profile(script=SCRIPT)):
        ran = yoi("worker", "run", "w", "help", "--json")
    events = [json.loads(line) for line in ran.out.splitlines()]
    assert events[0]["event"] == "user_message"
    assert events[-1]["event"] == "run_end"
    assert events[-1]["data"]["result"] == "finished"
    assert ran.out.isascii()


def test_a_run_that_does_not_finish_exits_with_1(yoi, workspace):
    endless = profile(script=[{"say": "x", "call": "gone"}], max_turns=1)
    with host(workspace, endless):
        ran = yoi("worker", "run", "w", "go")
    assert ran.status == 1
    assert "run limit_reached" in ran.out


def test_a_call_that_waits_is_shown_and_decided(yoi, workspace):
    tools = [{"plugin": "chat", "tool": "reply"}]
    with host(workspace, profile(tools=tools, script=SCRIPT)):
        assert "item 1" in yoi("worker", "send", "w", "help").out
        while not json.loads((shown := yoi("worker", "show", "w", "--json")).out)["worker"][
            "approvals"
        ]:
            assert shown.status == 0
        text = yoi("worker", "show", "w").out
        assert "waits for approval: reply" in text
        assert "yoi worker approve w call-0-1" in text
        assert yoi("worker", "approve", "w", "other").status == 2
        assert "denied: reply" in yoi("worker", "approve", "w", "--deny").out
        assert yoi("worker", "approve", "w").status == 2
        history = yoi("worker", "history", "w", "--json").out.splitlines()
        decided = [i for i in map(json.loads, history) if i["type"] == "approval_decided"]
        assert [d["approved"] for d in decided] == [False]


def test_grants_of_all_workers_are_listed_and_taken_back(yoi, workspace):
    tools = [{"plugin": "chat", "tool": "reply"}]
    with host(workspace, profile(tools=tools, script=SCRIPT), profile("b", script=SCRIPT)):
        nothing = "no call waits for a person, and no grant is in force"
        assert yoi("worker", "approvals").out.strip() == nothing
        assert yoi("worker", "approvals", "--revoke", "1").status == 2
        yoi("worker", "send", "w", "help")
        waits = "waits for approval: reply"
        while waits not in (text := yoi("worker", "approvals").out):
            pass
        assert text.splitlines()[0] == "w"
        for bad in (["--match", "at ="], ["--lasts", "soon"], ["--deny", "--for", "run"]):
            assert yoi("worker", "approve", "w", *bad).status == 2
        unfit = yoi("worker", "approve", "w", "--for", "matching")
        assert (unfit.status, "[worker.decision]" in unfit.err) == (1, True)
        match = """at = "/text", prefix = "com\""""
        options = ["--for", "matching", "--match", match, "--lasts", "2h"]
        assert yoi("worker", "approve", "w", *options).status == 0
        listed = yoi("worker", "approvals").out.splitlines()
        assert listed[1].endswith(
            'operator granted reply where /text begins with "com" until 2026-01-01T02:00:00.000Z'
        )
        command = listed[2].split("hint: yoi ")[1].split()
        assert yoi(*command).out.strip() == nothing


def test_a_person_at_the_terminal_is_asked_and_grants_from_the_prompt(yoi, workspace):
    tools = [{"plugin": "chat", "tool": "reply"}]
    with host(workspace, profile(tools=tools, script=SCRIPT)):
        typed = b"what?\nm text\n"
        status, screen = at_terminal(
            workspace, typed, "worker", "run", "w", "help", question=b"[n]o"
        )
        assert status == 0
        assert "that is no answer" in screen
        assert "decided by operator" in screen
        assert "run finished" in screen
        (one,) = json.loads(yoi("worker", "approvals", "--json").out)["workers"]
        assert [g["matches"] for g in one["grants"]] == [[{"at": "/text", "equals": "coming"}]]
        assert "run finished" in yoi("worker", "run", "w", "help").out  # granted: nobody is asked


def test_pause_resume_compact_list_and_refusals(yoi, workspace):
    with host(workspace, profile("a", script=SCRIPT), profile("b", script=SCRIPT)):
        assert yoi("worker", "pause", "a").status == 0
        assert "paused by" in yoi("worker", "show", "a").out
        assert yoi("worker", "resume", "a").status == 0
        assert yoi("worker", "resume", "a").status == 1
        assert yoi("worker", "compact", "b").status == 0
        ran = yoi("worker", "cancel", "a")
        assert (ran.status, "[worker.not_running]" in ran.err) == (1, True)
        listed = yoi("worker", "list").out
        assert "scripted" in listed
        assert [line.split()[0] for line in listed.splitlines()[2:]] == ["a", "b"]
        missing = yoi("worker", "show", "gone")
        assert (missing.status, "[worker.unknown]" in missing.err) == (1, True)


def test_history_follows_until_the_worker_stops(yoi, workspace):
    tasks = []

    async def notified(worker_set):
        await worker_set.notifications.notify(note("from outside"))
        worker, caught_up = worker_set.worker("w"), asyncio.Event()
        history = worker.history

        async def read(after, limit):
            items = await history(after, limit)
            if not items:
                caught_up.set()
            return items

        async def stop_once_followed():
            await caught_up.wait()
            await worker_set.apply([])

        worker.history = read
        tasks.append(asyncio.create_task(stop_once_followed()))

    with host(workspace, profile(script=SCRIPT), during=notified):
        ran = yoi("worker", "history", "w", "--follow")
    assert ran.status == 0
    assert "from chat: from outside" in ran.out


def test_history_reads_like_a_conversation_and_says_who_approved(yoi, workspace):
    denied = {"plugin": "chat", "tool": "reply", "name": "never", "approval": "deny"}
    tools = [{"plugin": "chat", "tool": "reply"}, denied]
    with host(workspace, profile(tools=tools, script=SCRIPT)):
        yoi("worker", "send", "w", "please help")
        while not json.loads(yoi("worker", "show", "w", "--json").out)["worker"]["approvals"]:
            pass
        yoi("worker", "approve", "w")
        yoi("worker", "run", "w", "else")
        told = yoi("worker", "history", "w").out.splitlines()
    assert {line[:19] for line in told if line[0] != " "} == {"2026-01-01 00:00:00"}
    assert [line[21:] for line in told] == [
        "you: please help",
        "is now scripted, with reply",
        "says: on it",
        'calls: reply {"text":"coming"}',
        "reply waits for a person",
        "operator approved reply",
        'reply returned: {"sent":"coming"}',
        "says: done",
        "run finished",
        "you: else",
        "says:",
        "two",
        "lines",
        "run finished",
    ]


@pytest.mark.parametrize("columns", [60, 100])
def test_a_worker_that_cannot_run_is_listed_with_line_key_and_command(
    columns, yoi, workspace, golden, monkeypatch
):
    monkeypatch.setenv("COLUMNS", str(columns))
    error = WorkerError("worker.profile", "workers[1].modle is not a key", at="workers[1].modle")
    faulty = FailedWorker("broken", error, line=12, at="2026-01-01T00:00:00.000Z")
    with host(workspace, profile("a", script=SCRIPT), faulty=[faulty]):
        shown = yoi("worker", "list").out + "--\n" + yoi("worker", "show", "broken").out
        listed = json.loads(yoi("worker", "list", "--json").out)["workers"]
        refused = yoi("worker", "send", "broken", "hello")
    golden(f"worker-failed-{columns}.txt", shown)
    assert [(one["name"], one["status"]) for one in listed] == [("a", "idle"), ("broken", "failed")]
    assert listed[1]["fault"]["line"] == 12
    assert refused.status == 1
    assert "[worker.failed]" in refused.err
    assert "yoi trust" in refused.err


def test_without_workers_it_says_how_to_have_one(yoi, workspace):
    with host(workspace):
        assert "[[workers]]" in yoi("worker", "list").out


@pytest.mark.parametrize("extra", [[], ["--json"]])
@pytest.mark.parametrize(
    "command", [["run", "w", "hostile"], ["show", "w"], ["list"], ["history", "w"]]
)
def test_no_models_or_strangers_text_reaches_a_terminal_raw(command, extra, yoi, workspace):
    async def notified(worker_set):
        await worker_set.notifications.notify(note(f"hostile {HOSTILE}"))
        await worker_set.worker("w").send(f"hostile {HOSTILE}")

    with host(workspace, profile(script=SCRIPT), during=notified):
        ran = yoi("worker", *command, *extra)
    for forbidden in ("\x1b", "\x07", "\x9b", "\u202e", "\r"):
        assert forbidden not in ran.out + ran.err
