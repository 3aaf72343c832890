"""Which method hears what: handlers by kind, routes, tools, async handlers, staged state."""

import asyncio

import pytest

from yoi_pdk import (
    Context,
    Event,
    Match,
    Plugin,
    Reply,
    Request,
    Send,
    StateSet,
    TextEvent,
    ToolResult,
    on,
    tool,
)
from yoi_pdk.handlers import BY_KIND
from yoi_pdk.testing import (
    PluginHarness,
    binary_event,
    close_event,
    denied_event,
    error_event,
    gap_event,
    open_event,
    response_event,
    send_failed_event,
    started_event,
    text_event,
    timer_event,
)

EVENTS = [
    started_event(),
    open_event(),
    close_event(),
    gap_event(),
    binary_event(b"x"),
    timer_event("t"),
    response_event("r", json=1),
    error_event(),
    send_failed_event("c"),
    denied_event("c"),
    text_event("hello"),
]


class ByKind(Plugin):
    """Answers with the name of the handler that was called."""


for _name in BY_KIND.values():
    setattr(ByKind, _name, lambda self, event, ctx, name=_name: Send(name, connection="c"))


class OnlyEvent(Plugin):
    def on_event(self, event: Event, ctx: Context) -> Send:
        return Send(event.kind, connection="c")


def test_every_kind_has_a_test_here():
    assert {event.kind for event in EVENTS} == set(BY_KIND)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.kind)
def test_each_event_has_a_handler_of_its_own_and_otherwise_on_event(event):
    assert PluginHarness(ByKind).event(event) == [Send(BY_KIND[event.kind], connection="c")]
    assert PluginHarness(OnlyEvent).event(event) == [Send(event.kind, connection="c")]
    assert PluginHarness(Plugin).event(event) == []
    assert isinstance(event, Event)
    assert event.created_at.tzinfo is not None
    assert isinstance(event.payload, dict)
    assert event.source


class Router(Plugin):
    @on("/type", "message")
    def message(self, event: TextEvent, ctx: Context) -> Reply:
        return event.reply(f"message {event.json()['text']}")

    @on("/op", one_of=[10, 11])
    @on("/d/ready", True)
    def several(self, event: TextEvent, ctx: Context) -> Reply:
        return event.reply("several")

    @on("", "ping")
    def ping(self, event: TextEvent, ctx: Context) -> Reply:
        return event.reply("pong")

    @on("", prefix="PING :")
    async def irc(self, event: TextEvent, ctx: Context) -> Reply:
        return event.reply("PONG :" + event.text[6:])

    @on("/list/1", None)
    def null(self, event: TextEvent, ctx: Context) -> Reply:
        return event.reply("null")

    def on_text(self, event: TextEvent, ctx: Context) -> Reply:
        return event.reply("rest")


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        ({"type": "message", "text": "a"}, "message a"),
        ({"type": "other"}, "rest"),
        ({"type": ["message"]}, "rest"),
        ({"op": 10}, "several"),
        ({"op": True}, "rest"),
        ({"op": 12}, "rest"),
        ({"d": {"ready": True}}, "several"),
        ({"d": {"ready": 1}}, "rest"),
        ({"list": [0, None]}, "null"),
        ({"list": [0]}, "rest"),
        ("ping", "pong"),
        ("PING :x", "PONG :x"),
        ("PING", "rest"),
        ("{", "rest"),
        ("[]", "rest"),
    ],
)
def test_routes_go_by_a_value_in_the_message(message, answer):
    assert PluginHarness(Router).replies(message) == [answer]


def test_a_subclass_overrides_the_route_of_a_method_that_it_replaces():
    class Sub(Router):
        @on("/type", "other")
        def message(self, event, ctx):
            return event.reply("sub")

    assert PluginHarness(Sub).replies({"type": "other"}) == ["sub"]
    assert PluginHarness(Sub).replies({"type": "message", "text": "a"}) == ["rest"]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Match("/a"),
        lambda: Match("/a", 1, prefix="x"),
        lambda: Match("a", 1),
        lambda: Match(3, 1),
        lambda: Match("/a", {1}),
        lambda: Match("/a", [float("nan")]),
        lambda: Match("/a", {1: 2}),
        lambda: Match("", 3),
        lambda: Match("/a", one_of=[]),
        lambda: Match("/a", one_of=list(range(33))),
        lambda: Match("/a", prefix=""),
        lambda: Match("/a", prefix="x" * 129),
        lambda: on("/a", 1, 2),
    ],
)
def test_a_match_that_could_not_hold_is_refused_where_it_is_written(make):
    with pytest.raises((TypeError, ValueError)):
        make()


def test_a_match_says_what_it_is():
    for match in (Match("/a~1b/~0", 1), Match("", one_of=["a", "b"]), Match("/x", prefix="y")):
        assert eval(repr(match)) == match
        assert hash(eval(repr(match))) == hash(match)
    assert Match("/a~1b/~0", 1).holds("", {"a/b": {"~": 1}})
    assert Match("/a", 1).wire() == {"at": "/a", "equals": 1}
    assert Match("/a", 1) != Match("/a", True)


class Tools(Plugin):
    @tool
    def word_count(self, text: str, lines: bool = False) -> ToolResult:
        """Count words."""
        return ToolResult(f"{len(text.split())} words", {"lines": lines})

    @tool(name="remember", external_write=True)
    async def keep(self, value: str, ctx: Context) -> str:
        ctx.state["value"] = value
        return ctx.state["value"]

    def on_tool(self, call, ctx):
        return f"on_tool {call.name}"


def test_a_marked_method_answers_its_tool():
    plugin = PluginHarness(Tools)
    assert plugin.tool("word_count", {"text": "a b"}).summary == "2 words"
    assert plugin.tool("other").summary == "on_tool other"
    kept = plugin.tool("remember", {"value": "x"})
    assert kept.summary == "x"
    assert kept.commands == (StateSet("value", "x"),)
    assert plugin.state == {"value": "x"}
    with pytest.raises(TypeError, match="text"):
        plugin.tool("word_count")


def test_two_methods_cannot_be_one_tool():
    class Twice(Plugin):
        @tool(name="a")
        def one(self) -> str:
            return "1"

        @tool(name="a")
        def two(self) -> str:
            return "2"

    with pytest.raises(TypeError, match="two methods"):
        PluginHarness(Twice)


class Awaits(Plugin):
    async def start(self, ctx, config):
        self.started = True

    @on("", "reply")
    async def fine(self, event, ctx):
        return [event.reply(await self.word())]

    async def word(self):
        return "awaited"

    @on("", "sleep")
    async def sleep(self, event, ctx):
        await asyncio.sleep(1)

    @on("", "nothing")
    async def nothing(self, event, ctx):
        await asyncio.sleep(0)

    @on("", "command")
    async def command(self, event, ctx):
        await Request("api", "GET", "/")

    @on("", "generator")
    async def generator(self, event, ctx):
        yield event.reply("x")


def test_an_async_handler_runs_to_its_end():
    plugin = PluginHarness(Awaits)
    assert plugin.plugin.started
    assert plugin.replies("reply") == ["awaited"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sleep", "TimerSet"),
        ("nothing", "TimerSet"),
        ("command", r"return Request\(\.\.\.\)"),
        ("generator", "list of commands"),
    ],
)
def test_awaiting_what_cannot_come_names_the_command_to_return(text, words):
    with pytest.raises(TypeError, match=words):
        PluginHarness(Awaits).text(text)


class Counter(Plugin):
    def start(self, ctx, config):
        ctx.state["starts"] = ctx.state.get("starts", 0) + 1

    def on_text(self, event, ctx):
        ctx.state["seen"] = ctx.state.get("seen", 0) + 1
        if event.text == "break":
            raise RuntimeError("broken")
        if event.text == "forget":
            del ctx.state["seen"]
            assert "seen" not in ctx.state
        return event.reply(str(ctx.state.get("seen")))


def test_what_a_handler_sets_is_kept_with_its_event():
    plugin = PluginHarness(Counter, state={"starts": 1})
    assert plugin.state == {"starts": 2}
    assert plugin.text("a") == [Reply("1"), StateSet("seen", 1)]
    with pytest.raises(RuntimeError):
        plugin.text("break")
    assert plugin.state["seen"] == 1
    assert plugin.replies("b") == ["2"]
    assert plugin.replies("forget") == ["None"]
    assert plugin.state == {"starts": 2}
    with pytest.raises(KeyError):
        plugin.ctx.state["seen"]


def test_a_value_that_cannot_be_kept_is_refused_where_it_is_set():
    state = PluginHarness(Counter).ctx.state
    for key, value in (("", 1), ("k", float("nan")), ("k", "x" * 70_000), (3, 1)):
        with pytest.raises(ValueError):  # noqa: PT011
            state.set(key, value)


@pytest.mark.parametrize(
    ("wanted", "holds", "not_these"),
    [
        ([1, {"a": None}], [[1, {"a": None}], [1.0, {"a": None}]], [[1], [True, {"a": None}], "x"]),
        ({}, [{}], [[], None, {"a": 1}]),
        (1, [1, 1.0], [True, "1", [1]]),
        (True, [True], [1, 1.0, "true"]),
        (None, [None], [0, False, ""]),
    ],
)
def test_a_match_takes_any_json_value_and_compares_as_the_host_does(wanted, holds, not_these):
    match = Match("/a", wanted)
    for value in holds:
        assert match.holds("", {"a": value})
    for value in not_these:
        assert not match.holds("", {"a": value})
    assert not match.holds("", {})
    deep = []
    for _ in range(100_000):
        deep = [deep]
    assert not match.holds("", {"a": deep})
    while deep:  # or its end recurses
        [deep] = deep
