"""The guest's half of the lean codec, against the host's half (yoi.protocol.lean)."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yoi_runner import dispatch as module
from yoi_runner.dispatch import make_dispatch

from yoi.protocol import lean
from yoi.protocol.ingress import BinaryFrame, IngressEvent, TextFrame
from yoi.protocol.outcomes import Commands, HandlerFailed
from yoi.protocol.outcomes import Reply as HostReply
from yoi.types import SessionId
from yoi_pdk import BinaryEvent, Context, Plugin, Reply, Send, StateSet, Status

NOW = "2026-01-01T00:00:00.000Z"


def frame(text, seq=1, session="s1", received_ms=1_700_000_000_000):
    size = len(text.encode("utf-8", "surrogatepass"))
    return TextFrame("events", "gw", SessionId(session), seq, text, received_ms, size)


def opened(event_id="s1.open"):
    return IngressEvent(
        kind="websocket_open",
        source="websocket:gw",
        ingress_name="events",
        payload={"connection": "gw", "session": "s1", "subprotocol": None},
        created_at=NOW,
        correlation_id=event_id,
    )


class Scripted(Plugin):
    def __init__(self, handler):
        self.handler = handler
        self.heard = []

    def on_text(self, event, ctx):
        self.heard.append((event.id, event.text, event.connection, event.ingress, event.attempt))
        return self.handler(event)

    def on_event(self, event, ctx):
        self.heard.append((event.id, type(event).__name__))
        return self.handler(event)


def run(handler, events, slice_ms=1000):
    plugin = Scripted(handler)
    dispatch = make_dispatch(plugin, Context("test", print))
    outcomes = lean.decode_answer(dispatch(lean.encode_batch(events, slice_ms)), events, NOW)
    return outcomes, plugin.heard


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.lists(TEXTS | st.none(), min_size=1, max_size=12))
def test_every_event_arrives_as_it_was_and_its_answer_returns(texts):
    events = [
        opened(f"o{n}") if text is None else frame(text, n) for n, text in enumerate(texts, 1)
    ]
    outcomes, heard = run(
        lambda event: event.reply(event.text + "!") if hasattr(event, "text") else None, events
    )
    assert outcomes == [Commands([]) if text is None else HostReply(text + "!") for text in texts]
    assert heard == [
        (f"o{n}", "OpenEvent") if text is None else (f"s1.{n}", text, "gw", "events", 1)
        for n, text in enumerate(texts, 1)
    ]


def test_runs_of_several_sessions_keep_their_ids():
    events = [frame("a", 1), frame("b", 2), frame("c", 1, "s2"), frame("d", 9, "s2")]
    _, heard = run(lambda event: None, events)
    assert [entry[0] for entry in heard] == ["s1.1", "s1.2", "s2.1", "s2.9"]


def test_a_repeat_is_known_as_one():
    again = TextFrame("events", "gw", SessionId("s1"), 2, "b", 5, 1, duplicate=True)
    marks = []
    run(
        lambda event: marks.append(event.duplicate),
        [frame("a", 1), again, opened("o"), frame("c", 3)],
    )
    assert marks == [False, True, False, False]


def test_commands_keep_their_order_ids_and_payloads():
    events = [frame("x")]
    [outcome], _ = run(
        lambda event: [event.reply("a"), Send("b", connection="gw", id="mine"), Status("ok")],
        events,
    )
    assert isinstance(outcome, Commands)
    assert [(c.command_id, c.kind) for c in outcome.commands] == [
        ("s1.1:0", "websocket_send"),
        ("mine", "websocket_send"),
        ("s1.1:2", "diagnostic_status_update"),
    ]
    assert outcome.commands[1].payload == {"text": "b", "connection": "gw"}


def test_a_failure_is_the_last_outcome():
    def handler(event):
        if event.text == "bad":
            raise ValueError("no")
        return event.reply(event.text)

    outcomes, heard = run(handler, [frame("a", 1), frame("bad", 2), frame("c", 3)])
    assert [entry[0] for entry in heard] == ["s1.1", "s1.2"], "a retry keeps the order"
    assert [type(outcome) for outcome in outcomes] == [HostReply, HandlerFailed]
    assert isinstance(outcomes[1], HandlerFailed)
    assert (outcomes[1].kind, outcomes[1].message) == ("ValueError", "no")


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit, RecursionError])
def test_no_exception_leaves_the_runner(kind):
    def handler(event):
        raise kind("out")

    [outcome], _ = run(handler, [frame("x")])
    assert isinstance(outcome, HandlerFailed)
    assert outcome.kind == kind.__name__


def late(event):
    reply = event.reply("abc")
    reply.text = event.text and ["a", "b", "c"]
    return reply


@pytest.mark.parametrize(
    "handler",
    [
        lambda event: event.reply("\ud800"),
        lambda event: [event.reply("fine"), Status("\ud800")],
        lambda event: Status(status={"n": float("nan")}),
        lambda event: Status(status={"n": {1}}) if event else None,
        lambda event: "text",
        late,
        lambda event: (_ for _ in ()).throw(ValueError("\ud800 \x1b[2J")),
    ],
)
def test_what_cannot_leave_is_this_events_failure_alone(handler):
    def on(event):
        return handler(event) if event.seq == 2 else event.reply("ok é")

    outcomes, _ = run(on, [frame("a", 1), frame("b", 2), frame("c", 3)])
    assert outcomes[:-1] == [HostReply("ok é")]
    assert isinstance(outcomes[-1], HandlerFailed)


def test_large_answers_end_a_batch_before_the_hosts_bound():
    big = "é" * 200_000
    events = [frame(str(n), n) for n in range(1, 10)]
    outcomes, _ = run(lambda event: event.reply(big), events)
    assert outcomes == [HostReply(big)] * 2


def test_an_answer_that_would_be_refused_whole_is_its_events_failure():
    for handler in (
        lambda event: [Send(json={"x": "x" * 1_000_000})] * 3,
        lambda event: [Send(json={"x": "\u20ac" * 160_000})] * 4,
        lambda event: Send(json={"x": "x" * 1_100_000}),
        lambda event: event.reply("x" * (16 * 1024 * 1024 + 1)),
    ):
        [outcome], _ = run(handler, [frame("a", 1), frame("b", 2)])
        assert isinstance(outcome, HandlerFailed)
        assert "the bound is" in outcome.message


def test_large_messages_travel_beside_the_commands():
    data = bytes(range(256)) * 8192
    text = "\u20ac" * 700_000
    [outcome], _ = run(lambda event: [Send(data=data), Send(text, id="t")], [frame("a", 1)])
    assert [one.payload for one in outcome.commands] == [{"data": data}, {"text": text}]
    assert outcome.commands[1].command_id == "t"


def test_a_binary_message_arrives_as_it_was_sent():
    data = bytes(range(256))
    seen = []

    def on(event):
        if isinstance(event, BinaryEvent):
            seen.append((event.data, event.id, event.connection, event.session, event.seq))

    message = BinaryFrame("events", "gw", SessionId("s1"), 7, data, 5, len(data))
    outcomes, _ = run(on, [message, frame("x", 8)])
    assert outcomes == [Commands([])] * 2
    assert seen == [(data, "s1.7", "gw", "s1", 7)]


def test_the_large_body_of_an_answer_is_no_json_inside_json():
    event = opened("r")
    event.kind, event.payload = "response", {"ok": True, "body": '"\u20ac"' * 40_000}
    seen = []
    batch = lean.encode_batch([event], 5)
    assert event.payload["body"] in batch
    run(lambda event: seen.append(event.payload), [event])
    assert seen == [event.payload]


class Hostile(Exception):
    def __str__(self):
        raise ValueError


def test_an_exception_that_cannot_be_described_is_still_an_outcome():
    def handler(event):
        raise Hostile

    [outcome], _ = run(handler, [frame("x")])
    assert isinstance(outcome, HandlerFailed)
    assert outcome.message == "its __str__ raised ValueError"


class Time:
    """A clock that each handled event moves on by `step` seconds."""

    def __init__(self, step):
        self.now, self.step, self.reads = 100.0, step, 0

    def __call__(self):
        self.reads += 1
        return self.now

    def handle(self, event):
        self.now += self.step
        return Reply(event.text)


def timed(monkeypatch, step, count, slice_ms=5, batches=1):
    clock = Time(step)
    monkeypatch.setattr(module, "monotonic", clock)
    plugin = Scripted(clock.handle)
    dispatch = make_dispatch(plugin, Context("test", print))
    events = [frame(str(n), n) for n in range(1, count + 1)]
    handled = 0
    for _ in range(batches):
        clock.reads = 0
        answer = dispatch(lean.encode_batch(events, slice_ms))
        handled = len(lean.decode_answer(answer, events, NOW))
    return handled, clock


@pytest.mark.parametrize(("step", "handled"), [(0.010, 1), (0.0049, 2), (0.002, 3)])
def test_the_slice_ends_a_batch_of_slow_events(monkeypatch, step, handled):
    assert timed(monkeypatch, step, 20)[0] == handled


def test_a_batch_always_makes_progress(monkeypatch):
    assert timed(monkeypatch, 1.0, 3, slice_ms=0)[0] == 1


def test_every_event_but_the_last_is_followed_by_a_look_at_the_clock(monkeypatch):
    handled, clock = timed(monkeypatch, 0.000001, 64, batches=2)
    assert handled == 64
    assert clock.reads == 64, "one at the start, and one after each event with another behind it"


def test_one_event_never_reads_the_clock(monkeypatch):
    assert timed(monkeypatch, 1.0, 1)[1].reads == 0


def test_no_event_starts_in_time_that_the_ones_before_it_used_up(monkeypatch):
    """A batch has one deadline and the slice: whoever starts still has a whole deadline."""
    clock = Time(0.000001)
    monkeypatch.setattr(module, "monotonic", clock)
    began = []

    def handle(event):
        began.append(clock.now)
        if event.seq in (40, 41):
            clock.step = 0.999
        return clock.handle(event)

    plugin = Scripted(handle)
    dispatch = make_dispatch(plugin, Context("test", print))
    events = [frame(str(n), n) for n in range(1, 65)]
    while events:
        started = clock.now
        clock.step = 0.000001
        answer = dispatch(lean.encode_batch(events, 5))
        done = lean.decode_answer(answer, events, NOW)
        assert began[-1] - started <= 0.005
        del events[: len(done)]
    assert len(began) == 64


def test_a_handler_that_is_out_of_memory_is_tried_once_more_after_collecting(monkeypatch):
    collected = []
    monkeypatch.setattr(module.gc, "collect", lambda: collected.append(1))
    tries = []

    def handler(event):
        tries.append(event.text)
        if event.text == "b" and tries.count("b") == 1:
            raise MemoryError
        return event.reply(event.text.upper())

    outcomes, _ = run(handler, [frame("a", 1), frame("b", 2), frame("c", 3)])
    assert outcomes == [HostReply("A"), HostReply("B"), HostReply("C")]
    assert tries == ["a", "b", "b", "c"]
    assert collected == [1]


@pytest.mark.parametrize("error", [MemoryError, type("Sly", (MemoryError,), {})])
def test_out_of_memory_twice_is_a_failure_of_its_own_kind(error):
    def handler(event):
        raise error

    (failed,), heard = run(handler, [frame("a", 1), frame("b", 2)])
    assert isinstance(failed, HandlerFailed)
    assert (failed.kind, failed.code) == ("MemoryError", "sandbox.memory")
    assert failed.message
    assert [text for _, text, *_ in heard] == ["a", "a"]


def test_what_an_interrupted_handler_staged_is_not_kept(monkeypatch):
    tries = []

    class Kept(Plugin):
        def on_text(self, event, ctx):
            tries.append(1)
            ctx.state.set(f"try{len(tries)}", 1)
            if len(tries) == 1:
                raise MemoryError

    ctx = Context("test", print)
    ctx.state.stage()
    events = [frame("a")]
    answer = make_dispatch(Kept(), ctx)(lean.encode_batch(events, 1000))
    (kept,) = lean.decode_answer(answer, events, NOW)
    assert [command.payload["key"] for command in kept.commands] == ["try2"]


def test_an_event_finds_what_an_earlier_one_of_its_batch_keeps():
    """The host hears of it only after the batch: a count must not lose what stands between."""
    kept = {}

    def host(op, argument):
        (key, *rest) = json.loads(argument)
        if op == "state.set":
            kept[key] = rest[0]
        return json.dumps({"ok": {"value": kept.get(key)}})

    ctx = Context("test", print, host)

    class Counting(Plugin):
        def on_text(self, event, ctx):
            if event.text == "by command":
                return StateSet("n", ctx.state.get("n", 0) + 1)
            ctx.state["n"] = ctx.state.get("n", 0) + 1
            if event.text == "bad":
                raise ValueError
            return None

    dispatch = make_dispatch(Counting(), ctx)
    ctx.state.stage()
    events = [frame(text, n) for n, text in enumerate(["a", "by command", "b", "bad"], 1)]
    outcomes = lean.decode_answer(dispatch(lean.encode_batch(events, 1000)), events, NOW)
    assert [one.commands[0].payload["value"] for one in outcomes[:3]] == [1, 2, 3]
    kept["n"] = "3"
    (again,) = lean.decode_answer(dispatch(lean.encode_batch(events[:1], 1000)), events[:1], NOW)
    assert again.commands[0].payload["value"] == 4


def test_a_text_that_answers_a_question_says_which():
    answer = replace(frame("yes", 2), in_reply_to="q1")
    outcomes, _ = run(
        lambda event: Reply(str(event.in_reply_to)), [frame("a"), answer, frame("b", 3)]
    )
    assert outcomes == [HostReply("None"), HostReply("q1"), HostReply("None")]
