"""`yoi watch` against a real server that plays scripts, and a real control socket."""

import asyncio
import json
import signal
import threading
from contextlib import contextmanager

import pytest
from tests.client.frames import EPOCH, GREETING, bookmark, event, resumed, told
from tests.client.scripted import answer, says, scripted

import yoi.client
from yoi.cli import watch_view
from yoi.client import Bookmark, Event, Observation, Opening

HOSTILE = "\x1b[2J\x1b]0;pwned\x07[red]x[/red]\u202egnp.exe\x9b31m\rfake: ok"
TOKEN = "the-token"
ENTRIES = [
    {"seq": 1, "type": "user_input", "at_ms": 0, "text": "please help"},
    {"seq": 2, "type": "system_item", "at_ms": 0, "text": "a message", "provenance": {
        "plugin": "desk", "plugin_id": "d", "digest": "x", "ingress": "i", "event_id": "e",
        "command_id": "c"}},
    {"seq": 3, "type": "assistant", "at_ms": 0, "llm_call": 1, "model": "m", "finish": "stop",
     "parts": [{"kind": "thinking", "text": "", "redacted": True},
               {"kind": "text", "text": "on it\nat once"},
               {"kind": "call", "id": "1", "name": "reply", "arguments": '{"text":"x"}'}]},
    {"seq": 4, "type": "tool_result", "at_ms": 0, "id": "1", "name": "reply", "summary": "sent",
     "is_error": False},
    {"seq": 5, "type": "run_end", "at_ms": 0, "result": "finished"},
    {"seq": 6, "type": "compaction", "at_ms": 0, "summary": "all is well"},
    {"seq": 7, "type": "hologram", "redacted": True},
]  # fmt: skip


def worker(*entries, in_flight=None, **rest):
    data = {"entries": list(entries), "greeting": GREETING, "status": "running", **rest}
    if in_flight is not None:
        data["in_flight"] = {"blocks": in_flight}
    return {"event": "snapshot", "data": data}


def live(kind, /, **data):
    return {"event": kind, "data": data}


STATUS = {
    "name": "desk", "reference": "project:desk", "version": "1.0.0", "digest": "sha256:0",
    "runtime": "python", "lifecycle": "running", "queue_capacity": 1024,
    "counters": {"enqueued": 1, "succeeded": 1},
    "connections": [{"name": "gateway", "ingress": "e", "url": "wss://x.example/ws",
                     "state": "open", "frames_in": 3}],
}  # fmt: skip
TROUBLE = {
    "at": "2026-01-01T00:00:00.000Z", "code": "denied.not_granted", "severity": "warning",
    "scope": "desk", "message": HOSTILE, "hint": "yoi plugin enable desk", "fields": {},
}  # fmt: skip


@contextmanager
def server(*scripts):
    """Play `scripts` from a thread."""
    ready, held = threading.Event(), []

    async def main():
        async with scripted(*scripts) as one:
            done = asyncio.Event()
            loop = asyncio.get_running_loop()
            held.extend([one, lambda: loop.call_soon_threadsafe(done.set)])
            ready.set()
            await done.wait()

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    try:
        assert ready.wait(10)
        yield held[0]
    finally:
        held[1]()
        thread.join(10)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    async def at_once(_):
        pass

    def observe(target, *, cursor, tls, locate):
        return Observation(
            target, Opening(cursor, False), tls=tls, locate=locate, sleep=at_once, rng=lambda: 0.4
        )

    monkeypatch.setattr(yoi.client, "observe", observe)


@pytest.fixture
def access(serving, workspace):
    """Say where the server is on the control socket of the workspace."""

    def of(one, token=TOKEN):
        async def told_(_):
            return {"url": one.url, "token": token, "runtime_id": "local"}

        return serving(workspace, {"observation.access": told_})

    return of


def listing(*runtimes):
    return answer(200, json.dumps(runtimes).encode())


def has(runtime, *workers, **rest):
    return {"runtime_id": runtime, "state": "available", "workers": list(workers), **rest}


NONE = listing()
BYE = told("stream_closed")
RUN = says(
    event(1, worker(*ENTRIES, in_flight=[
        {"kind": "text", "text": "let me "},
    ], waiting=[{"id": "c7", "name": "erase", "arguments": "{}"}]), suffix=".s"),
    event(2, live("text_delta", text="see")),
    event(3, live("thinking_delta", text="", redacted=True)),
    event(4, live("thinking_delta", text="", redacted=True)),
    event(5, live("tool_call_done", id="8", name=HOSTILE, arguments="", redacted=True)),
    event(6, live("text_delta", text=HOSTILE)),
    event(7, live("dance", steps=3)),
    event(8, live("user_message", segments=[{"kind": "text", "text": "more"}], seq=9, at_ms=0)),
    told("upstream_disconnect"),
    told("upstream_restored"),
    told("shutdown", retry_after_ms=900),
    close=4001,
)  # fmt: skip
LOST = says(
    told("cursor_expired", dropped=12),
    event(
        30,
        worker(*ENTRIES, {"seq": 31, "type": "user_input", "at_ms": 0, "text": "new"}, left_out=9),
        suffix=".s",
    ),
    bookmark("c30"),
    BYE,
    close=4502,
)


def test_a_worker_is_followed_with_honest_lines_about_the_watching(yoi, golden, access):
    with server(NONE, RUN, answer(503), answer(503), LOST) as one, access(one):
        ran = yoi("watch", "w")
    assert ran.status == 0
    golden("watch-worker.txt", ran.out)
    golden("watch-worker-notes.txt", ran.err)
    assert {one_.headers["Authorization"] for one_ in one.requests} == {f"Bearer {TOKEN}"}
    assert one.paths[:2] == ["/api/runtimes", "/api/runtimes/local/workers/w/events/ws"]


def test_the_offline_engine_is_named_once(yoi, access):
    same = {**GREETING, "provider": "scripted", "model": "scripted"}
    script = says(event(1, worker(greeting=same), suffix=".s"), BYE, close=4502)
    with server(NONE, script) as one, access(one):
        assert yoi("watch", "w").out == "w: running, scripted\n"


def test_programs_get_every_value_on_a_line(yoi, golden, access):
    with server(NONE, RUN, answer(503), LOST) as one, access(one):
        ran = yoi("watch", "worker:w", "--json")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.isascii()
    lines = [json.loads(line) for line in ran.out.splitlines()]
    assert [line["kind"] for line in lines if line["kind"] not in ("event",)] == [
        "snapshot", "diagnostic", "diagnostic", "diagnostic", "disconnected", "disconnected",
        "reconnected", "resync", "snapshot", "bookmark", "ended",
    ]  # fmt: skip
    golden("watch.json", ran.out)


def test_a_service_is_followed(yoi, golden, access):
    def shown(**changes):
        return {"status": {**STATUS, **changes}}

    script = says(
        event(1, {"event": "service_snapshot", "data": {**shown(), "diagnostics": [TROUBLE]}},
              suffix=".s", service_id="desk"),
        event(2, live("service_status", **shown()), service_id="desk"),
        event(3, live("service_status", **shown(lifecycle="failed", last_error=HOSTILE,
                                                last_error_code="sandbox.trap", dead_letters=1)),
              service_id="desk"),
        event(4, live("diagnostic", **TROUBLE), service_id="desk"),
        event(5, live("diagnostic", **{**TROUBLE, "message": "", "redacted": True}),
              service_id="desk"),
        event(6, live("diagnostic", odd=HOSTILE), service_id="desk"),
        event(7, live("service_status", status={"odd": HOSTILE}), service_id="desk"),
        event(8, live("dance"), service_id="desk"),
        event(9, {"event": "service_stopped"}, service_id="desk"),
        BYE,
        close=4502,
    )  # fmt: skip
    with server(NONE, script) as one, access(one):
        ran = yoi("watch", "service:desk")
    assert ran.status == 0
    golden("watch-service.txt", ran.out)


BOARD = says(
    event(1, live("board_snapshot", left_out=2, items=[
        {"id": "00001KSKBP8Z8", "title": "Mend the door", "state": "queued", "undecided": True,
         "updated_at": "2026-01-01T12:00:00Z", "events": 2},
        {"id": "00001KSKBP9YG", "title": HOSTILE, "state": HOSTILE, "assignee": HOSTILE},
        {"id": HOSTILE, "damage": f"item.md, line 3: {HOSTILE}"},
    ], entries=[
        {"ticket": "00001KSKBP8Z8", "number": 2, "kind": "state_changed", "author": "ada",
         "at": "2026-01-01T12:00:00Z", "step": "ready -> queued", "text": "## State: queued"},
    ]), suffix=".s", board_id="tickets"),
    event(2, live("ticket_changed", id="00001KSKBP8Z8", title="Mend the door", state="inprogress",
                  assignee="worker:smith", events=3), board_id="tickets"),
    event(3, live("ticket_changed", id="00001KSKBP8Z8", title="Mend the door", state="inprogress",
                  assignee="worker:smith", events=4), board_id="tickets"),
    event(4, live("thread_added", ticket="00001KSKBP8Z8", number=4, kind="comment",
                  author=HOSTILE, at=HOSTILE, text=f"{HOSTILE}\n" * 14, cut=True),
          board_id="tickets"),
    event(5, live("thread_added", ticket="00001KSKBP8Z8", number=5, kind="", redacted=True),
          board_id="tickets"),
    event(6, live("thread_rewritten", id="00001KSKBP8Z8"), board_id="tickets"),
    event(7, live("ticket_changed", id="00001KSKBPAXR", title="New", state="planning"),
          board_id="tickets"),
    event(8, live("ticket_changed", id="00001KSKBPAXR", state="planning", redacted=True),
          board_id="tickets"),
    event(9, live("ticket_gone", id=HOSTILE), board_id="tickets"),
    event(10, live("board_counted", left_out=1), board_id="tickets"),
    event(11, live("dance"), board_id="tickets"),
    BYE,
    close=4502,
)  # fmt: skip


@pytest.mark.parametrize("columns", [60, 100])
def test_work_items_are_followed(columns, yoi, golden, access, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    with server(NONE, BOARD) as one, access(one):
        ran = yoi("watch", "tickets")
    assert (ran.status, one.paths[1]) == (0, "/api/runtimes/local/boards/tickets/events/ws")
    assert ran.err == "-- board tickets is gone for good\n"
    for forbidden in ("\x1b", "\x07", "\x9b", "\u202e", "\r", "\nfake: ok"):
        assert forbidden not in ran.out
    golden(f"watch-board-{columns}.txt", ran.out)


@pytest.mark.parametrize("data", [{"redacted": True}, {}])
def test_a_service_that_is_withheld_or_of_another_version(yoi, access, data):
    status = STATUS if data else {"lifecycle": HOSTILE}
    payload = {"event": "service_snapshot", "data": {"status": status, "diagnostics": [], **data}}
    script = says(event(1, payload, suffix=".s", service_id="desk"), BYE, close=4502)
    with server(NONE, script) as one, access(one):
        ran = yoi("watch", "service:desk")
    assert ("withheld" in ran.out) == bool(data)
    assert "\x1b" not in ran.out


def test_a_resumed_watch_prints_only_what_was_missed(yoi, access):
    script = says(
        resumed("abc"), event(5, live("text_delta", text="missed")), bookmark("c"), BYE, close=4502
    )
    with server(NONE, script) as one, access(one):
        ran = yoi("watch", "w", "--cursor", "abc")
    assert ran.out == "missed\n"
    assert "exactly what was missed follows" in ran.err
    assert one.paths[1].endswith("?cursor=abc")


def test_what_is_not_there_says_how_to_see_what_is(yoi, access):
    gone = says(told("worker_not_found"), close=4501)
    with server(NONE, gone, NONE, NONE, gone, NONE) as one, access(one):
        ran = yoi("watch", "nobody")
        as_json = yoi("watch", "nobody", "--json")
    assert (ran.status, "[observe.not_found]" in ran.err, "yoi watch" in ran.err) == (1, True, True)
    assert json.loads(as_json.out)["error"]["code"] == "observe.not_found"


def test_what_somebody_may_have_meant_is_said(yoi, token_file):
    """Another kind, a slip of the finger, a runtime of another name: hints that can be typed."""
    one = {"id": "desk", "lifecycle": "running"}
    listed = listing(has("a", {"id": "triage"}, services=[one]))
    with server(*[listed] * 12) as there:
        elsewhere = ("--url", there.url, "--token-file", token_file)

        def hint(*words):
            ran = yoi("watch", *words, *elsewhere)
            assert (ran.status, "[observe.not_found]" in ran.err) == (1, True)
            return ran.err.partition("hint: ")[2].strip()

        assert hint("desk") == "there is a service desk: yoi watch service:desk"
        assert hint("triaga") == "there is a worker triage: yoi watch triage"
        assert hint("zzz") == "see what there is: yoi watch, without a name"
        assert hint("--runtime", "b") == "runtimes: a"


def test_a_chosen_runtime_is_seen_alone(yoi, access):
    with server(listing(has("a"), has("b"))) as one, access(one):
        out = yoi("watch", "--runtime", "b").out
    assert ("a  available" in out, "b  available" in out) == (False, True)


def test_without_a_host_there_is_nothing_to_watch(yoi, workspace):
    ran = yoi("watch", "w")
    assert (ran.status, "[control.unreachable]" in ran.err) == (3, True)
    assert yoi("watch").status == 3


def test_a_host_that_is_started_again_is_found_at_its_new_port(yoi, serving, workspace):
    asked = []

    async def told_(_):
        asked.append(1)
        if len(asked) == 3:
            raise ValueError("not yet")
        one = first if len(asked) < 3 else second
        return {"url": one.url, "token": TOKEN, "runtime_id": "local"}

    begun = says(event(1, worker(), suffix=".s"), abort=True)
    with (
        server(NONE, begun) as first,
        server(answer(401), says(resumed("abab.1"), BYE, close=4502)) as second,
        serving(workspace, {"observation.access": told_}),
    ):
        moved = yoi("watch", "w")
    assert moved.status == 0
    assert moved.err.splitlines() == [
        "-- the connection was lost; trying again, first in 0.1 s",
        "-- the server's address is not known now; trying again, first in 0.2 s",
        "-- the server answered 401; trying again, first in 0.4 s",
        "-- connected again",
        "-- resumed: exactly what was missed follows",
        "-- worker w is gone for good",
    ]


@pytest.mark.usefixtures("interrupts")
def test_an_interrupt_ends_it_and_says_how_to_go_on(yoi, access, monkeypatch):
    show = watch_view.Screen.show

    def and_enough(self, value):
        show(self, value)
        if isinstance(value, Bookmark):
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(watch_view.Screen, "show", and_enough)
    monkeypatch.setattr("sys.argv", ["yoi", "watch", "w", "--cursor", "old", "--runtime", "a b"])
    script = says(
        event(1, worker(in_flight=[{"kind": "text", "text": "half a"}]), suffix=".s"),
        bookmark("here"),
        stay=True,
    )
    with server(NONE, script) as one, access(one):
        ran = yoi("watch", "w")
    assert ran.status == 0
    assert ran.out.endswith("half a\n")
    assert "go on from here: yoi watch w --runtime 'a b' --cursor here" in ran.err


# elsewhere


@pytest.fixture
def token_file(tmp_path):
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    return path


def test_a_token_is_not_sent_where_others_could_read_it(yoi, token_file):
    for url in ("http://192.0.2.1:7717", "http://yoi.example.com"):
        ran = yoi("watch", "w", "--url", url, "--token-file", token_file)
        assert ran.status == 2
        assert "use https://" in ran.err


def test_a_backend_elsewhere_is_asked_which_runtime_has_it(yoi, token_file):
    script = says(event(1, worker(), suffix=".s", runtime="b"), BYE, close=4502)
    with server(listing(has("a", {"id": "v"}), has("b", {"id": "w"})), script) as one:
        ran = yoi("watch", "w", "--url", one.url, "--token-file", token_file)
    assert ran.status == 0
    assert one.paths == ["/api/runtimes", "/api/runtimes/b/workers/w/events/ws"]
    assert {request.headers["Authorization"] for request in one.requests} == {f"Bearer {TOKEN}"}


def test_a_chosen_runtime_is_not_asked_for(yoi, token_file):
    with server(says(BYE, close=4502)) as one:
        yoi("watch", "w", "--url", one.url, "--token-file", token_file, "--runtime", "a/b")
    assert one.paths == ["/api/runtimes/a%2Fb/workers/w/events/ws"]


def test_a_name_of_several_runtimes_or_none(yoi, token_file):
    both = listing(has("a", {"id": "w"}), has("b", {"id": "w"}))
    with server(both) as one:
        ran = yoi("watch", "w", "--url", one.url, "--token-file", token_file)
        assert (ran.status, "add --runtime a" in ran.err) == (2, True)
        ran = yoi("watch", "service:w", "--url", one.url, "--token-file", token_file)
        assert (ran.status, "[observe.not_found]" in ran.err) == (1, True)


def test_files_and_options_that_do_not_go_together(yoi, workspace, tmp_path, token_file):
    assert yoi("watch", "w", "--url", "http://h").status == 2
    assert yoi("watch", "--cursor", "c").status == 2
    assert yoi("watch", "w", "--token-file", token_file).status == 2
    gone = yoi("watch", "w", "--url", "http://h", "--token-file", tmp_path / "gone")
    assert (gone.status, "[secret.io]" in gone.err) == (1, True)
    (tmp_path / "odd").write_bytes(b"\xff\xfe")
    odd = yoi("watch", "w", "--url", "http://h", "--token-file", tmp_path / "odd")
    assert "[observe.target]" in odd.err
    bad = yoi("watch", "--url", "http://u:p@h", "--token-file", token_file)
    assert ("[observe.target]" in bad.err, "u:p" in bad.err) == (True, False)
    ca = yoi("watch", "--url", "http://h", "--token-file", token_file, "--ca", tmp_path / "gone")
    assert "[observe.tls]" in ca.err


# all


ALL = listing(
    has(
        "local",
        {"id": HOSTILE, "status": "running", "engine": "scripted", "waiting": 0, "approvals": 1,
         "last_error": None},
        since="2026-01-01T00:00:00.000Z",
        services=[{"id": "desk", "lifecycle": "running", "reference": "project:desk", "open": 1,
                   "connections": 2, "queue_depth": 0, "dead_letters": 3, "last_error": HOSTILE},
                  {"id": "new", "lifecycle": {"x": 1}}],
        boards=[{"id": "tickets", "items": 9, "queued": 2, "inprogress": 1, "undecided": 1,
                 "damaged": HOSTILE}],
    ),
    {"runtime_id": "far", "state": "unavailable"},
)  # fmt: skip


def test_everything_at_a_glance(yoi, golden, access):
    with server(ALL) as one, access(one):
        ran = yoi("watch", "--count", "1")
        as_json = yoi("watch", "--count", "1", "--json")
    golden("watch-all.txt", ran.out)
    golden("watch-all.json", as_json.out)


def test_a_look_that_fails_shows_the_last_one_and_says_so(yoi, access, monkeypatch):
    monkeypatch.setattr("yoi.cli.watching.time.sleep", lambda _: None)
    with server(listing(has("local")), answer(503), answer(403)) as one, access(one):
        ran = yoi("watch", "--count", "9")
    assert ran.out.count("nothing that you may watch") == 2
    assert "not up to date: the server answered 503" in ran.out
    assert (ran.status, "[observe.forbidden]" in ran.err) == (1, True)


def test_the_runtime_of_several_that_has_it_is_watched(yoi, access):
    script = says(event(1, worker(), suffix=".s", runtime="b"), BYE, close=4502)
    with server(listing(has("b", {"id": "w"})), script) as one, access(one):
        assert yoi("watch", "w").status == 0
    assert one.paths[1] == "/api/runtimes/b/workers/w/events/ws"


SEVERAL = has(
    "desk",
    services=[
        {"id": "echo", "health": "running", "machine": "b", "connections": 0, "moved": 2, "moves": [
            {"at": "2020-01-01T00:00:00.000Z", "source": "a", "target": "b", "why": "died"}]},
        {"id": "bad", "health": "barred", "machine": HOSTILE, "moved": HOSTILE, "moves": [HOSTILE]},
    ],
    boards=[{"id": one, "machine": one, "items": 1} for one in "ba"],
)  # fmt: skip


def test_which_machine_has_what_and_how_it_came_there(yoi, access):
    with server(listing(SEVERAL)) as one, access(one):
        out = yoi("watch", "--count", "1").out
    assert "from a, which died, 2020-01-01 00:00:00 (2 moves)" in " ".join(out.split())


def test_the_work_items_of_one_machine_are_not_those_of_another(yoi, access):
    with server(listing(SEVERAL)) as one, access(one):
        ran = yoi("watch", "tickets")
    assert (ran.status, "of its own: a, b" in ran.err, "yoi watch board:a" in ran.err) == (
        2,
        True,
        True,
    )
    alone = {**SEVERAL, "boards": SEVERAL["boards"][:1]}
    with server(listing(alone), says(BYE, close=4502)) as one, access(one):
        yoi("watch", "tickets", "--runtime", "desk")
    assert one.paths[1] == "/api/runtimes/desk/boards/b/events/ws"


def test_an_empty_backend(yoi, access):
    with server(NONE) as one, access(one):
        assert "no runtimes" in yoi("watch", "--count", "1").out


def test_an_answer_of_the_host_that_does_not_fit(yoi, serving, workspace):
    async def odd(_):
        return {"url": 3}

    with serving(workspace, {"observation.access": odd}):
        ran = yoi("watch", "w")
    assert (ran.status, "[control.refused]" in ran.err) == (1, True)


def test_an_event_nested_beyond_reason_is_only_named():
    raw = b'{"event":"deep","data":' + b"[" * 200 + b"]" * 200 + b"}"
    from yoi.protocol.events import decode_event

    value = Event(decode_event(raw), "c", f"{EPOCH}-1", raw)
    assert watch_view.document(value)["event"] == {"event": "deep"}
