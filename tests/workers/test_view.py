"""Whatever is in a history, no provider refuses the request for its shape."""

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.workers import providers as p
from tests.workers.wire import Reply, call, text
from tests.workers.worlds import World, spec, tool

from yoi.protocol import events as ev
from yoi.workers import items as it
from yoi.workers.context import AssistantParts, ModelInput, ToolOutput, ToolOutputs, UserText
from yoi.workers.engines import make_engine
from yoi.workers.profile import WorkerProfile
from yoi.workers.view import as_sent, legal_name

WORDS = st.sampled_from(["", " ", "\n", "hello", "go on", "{", "\u202e", "a" * 200])
NAMES = st.sampled_from(["echo", "", "9lives", "-x", "a b", "ünï", "n" * 90, "functions.echo:0"])
IDS = st.sampled_from(["call-1", "c", "call_" + "x" * 60, "ü"])
REPLAY = st.none() | st.just({"part": {"id": "r1"}, "response": {}})
ARGUMENTS = st.sampled_from(["{}", "", "[]", '{"a":1}', "{broken", "null", "[" * 2000])
PARTS = st.one_of(
    st.builds(it.Text, WORDS, REPLAY),
    st.builds(it.Thinking, WORDS, REPLAY),
    st.builds(it.Call, IDS, NAMES, ARGUMENTS, REPLAY),
)
OUTPUTS = st.builds(ToolOutput, IDS, NAMES, WORDS, st.booleans())
MESSAGES = st.one_of(
    st.builds(UserText, WORDS),
    st.builds(
        AssistantParts,
        st.lists(PARTS, max_size=5, unique_by=lambda q: getattr(q, "id", id(q))).map(tuple),
        st.sampled_from(["m", "other"]),
    ),
    st.builds(ToolOutputs, st.lists(OUTPUTS, min_size=1, max_size=4).map(tuple)),
)
REQUESTS = st.builds(
    ModelInput,
    WORDS,
    st.sampled_from([(), (spec(),), (spec(), spec("later"))]),
    st.lists(MESSAGES, max_size=12).map(tuple),
    st.booleans(),
)


@settings(max_examples=150)
@given(REQUESTS)
def test_no_request_is_refused_for_its_shape(request):
    sent = as_sent(request, "m")
    p.openai(p.to_openai(sent))
    p.anthropic(p.to_anthropic(sent))
    p.google(p.to_google(sent))
    assert sent == as_sent(request, "m")  # pure


@settings(max_examples=60)
@given(REQUESTS)
def test_nothing_that_was_heard_is_left_out(request):
    sent = json.dumps(p.to_openai(as_sent(request, "m")), ensure_ascii=False)
    for message in request.messages:
        if isinstance(message, UserText) and message.text.strip():
            assert json.dumps(message.text.strip(), ensure_ascii=False)[1:-1] in sent


@given(st.text())
def test_a_legal_name_is_legal_and_stays(name):
    made = legal_name(name)
    assert p.OPENAI_NAME.fullmatch(made)
    assert p.GOOGLE_NAME.fullmatch(made)
    assert legal_name(made) == made


def test_what_a_model_said_to_itself_goes_back_to_it_alone():
    secret = it.Thinking("hm", {"part": {"signature": "s"}})
    said = AssistantParts((secret, it.Text("hi", {"part": {"id": "1"}})), "m")
    request = ModelInput("", (), (UserText("a"), said, UserText("b")))
    assert as_sent(request, "m").messages[1].parts == said.parts
    assert as_sent(request, "other").messages[1].parts == (it.Text("hi"),)


USER = {"role": "user", "content": "hi"}
SAID = {"role": "assistant", "content": "hello"}
CALL = {"id": "abcdefgh1", "type": "function", "function": {"name": "echo", "arguments": "{}"}}
CALLED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "abcdefgh1", "content": "ok"}
TOOLS = [{"type": "function", "function": {"name": "echo"}}]
GOOD = {"messages": [USER, CALLED, RESULT], "tools": TOOLS}


def called(**changes):
    call = copy.deepcopy(CALL)
    call["id"] = changes.pop("id", call["id"])
    call["function"] |= changes
    return {**CALLED, "tool_calls": [call]}


OPENAI_REFUSES = {
    "first_user": {"messages": [SAID, USER]},
    "alternate": {"messages": [USER, USER]},
    "user_after_tool": {"messages": [USER, CALLED, RESULT, USER], "tools": TOOLS},
    "tool_without_call": {"messages": [USER, RESULT]},
    "last_role": {"messages": [USER, SAID]},
    "call_without_result": {"messages": [USER, CALLED, USER], "tools": TOOLS},
    "empty_content": {"messages": [{"role": "user", "content": " "}]},
    "id_form": {"messages": [USER, called(id="call_1"), RESULT], "tools": TOOLS},
    "id_twice": {"messages": [USER, CALLED, RESULT, CALLED, RESULT], "tools": TOOLS},
    "name_form": {"messages": [USER, called(name="a b"), RESULT], "tools": TOOLS},
    "arguments": {"messages": [USER, called(arguments="[]"), RESULT], "tools": TOOLS},
    "tools_declared": {"messages": [USER, CALLED, RESULT]},
    "tools_many": {
        "messages": [USER],
        "tools": [{"function": {"name": f"t{n}"}} for n in range(129)],
    },
    "name_twice": {"messages": [USER], "tools": TOOLS * 2},
    "choice_without_tools": {"messages": [USER], "tool_choice": "none"},
    "size": {"messages": [{"role": "user", "content": "x" * 2**20}]},
    "context_length_exceeded": {"messages": [{"role": "user", "content": "x" * 900_000}]},
}
"""One request for each rule, which that rule refuses."""


@pytest.mark.parametrize("rule", OPENAI_REFUSES)
def test_the_strict_server_refuses(rule):
    p.openai(GOOD)
    with pytest.raises(p.Refused) as caught:
        p.openai(OPENAI_REFUSES[rule], window=200_000)
    assert caught.value.rule == rule


def a_text(words="hi"):
    return {"type": "text", "text": words}


A_USE = {"type": "tool_use", "id": "t1", "name": "echo", "input": {}}
A_RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "ok"}
A_TOOLS = [{"name": "echo"}]


def talk(*turns):
    """Return Anthropic's turns, the user's first."""
    roles = ("user", "assistant") * len(turns)
    return [{"role": role, "content": list(turn)} for role, turn in zip(roles, turns, strict=False)]


ANTHROPIC_REFUSES = {
    "first_user": (talk([a_text()])[:0], A_TOOLS),
    "last_role": (talk([a_text()], [a_text()]), A_TOOLS),
    "alternate": (talk([a_text()]) * 2, A_TOOLS),
    "empty_content": (talk([a_text(" ")]), A_TOOLS),
    "call_without_result": (talk([a_text()], [A_USE], [a_text()]), A_TOOLS),
    "tool_without_call": (talk([A_RESULT]), A_TOOLS),
    "results_first": (talk([a_text()], [A_USE], [a_text(), A_RESULT]), A_TOOLS),
    "use_by_assistant": (talk([A_USE]), A_TOOLS),
    "id_form": (talk([a_text()], [{**A_USE, "id": "a b"}], [A_RESULT]), A_TOOLS),
    "id_twice": (talk([a_text()], [A_USE], [A_RESULT], [A_USE], [A_RESULT]), A_TOOLS),
    "name_form": (talk([a_text()], [{**A_USE, "name": "a b"}], [A_RESULT]), A_TOOLS),
    "arguments": (talk([a_text()], [{**A_USE, "input": []}], [A_RESULT]), A_TOOLS),
    "tools_declared": (talk([a_text()], [A_USE], [A_RESULT]), []),
}


@pytest.mark.parametrize("rule", ANTHROPIC_REFUSES)
def test_anthropics_rules_refuse(rule):
    p.anthropic({"messages": talk([a_text()], [A_USE], [A_RESULT]), "tools": A_TOOLS})
    messages, tools = ANTHROPIC_REFUSES[rule]
    with pytest.raises(p.Refused) as caught:
        p.anthropic({"messages": messages, "tools": tools})
    assert caught.value.rule == rule


G_CALL = {"functionCall": {"name": "echo", "args": {}}}
G_RESULT = {"functionResponse": {"name": "echo", "response": {}}}
G_TEXT = {"text": "hi"}


def chat(*turns):
    """Return Google's turns, the user's first."""
    roles = ("user", "model") * len(turns)
    return [{"role": role, "parts": list(turn)} for role, turn in zip(roles, turns, strict=False)]


GOOGLE_REFUSES = {
    "first_user": ([], A_TOOLS),
    "last_role": (chat([G_TEXT], [G_TEXT]), A_TOOLS),
    "empty_content": (chat([{"text": ""}]), A_TOOLS),
    "call_without_result": (chat([G_TEXT], [G_CALL], [G_TEXT]), A_TOOLS),
    "tool_without_call": (chat([G_RESULT]), A_TOOLS),
    "call_turn": (
        [*chat([G_TEXT], [G_TEXT]), *chat([], [G_CALL])[1:], *chat([G_RESULT])],
        A_TOOLS,
    ),
    "use_by_assistant": ([*chat([G_TEXT]), *chat([G_CALL])], A_TOOLS),
    "name_form": (
        chat([G_TEXT], [{"functionCall": {"name": "9", "args": {}}}], [G_RESULT]),
        A_TOOLS,
    ),
    "arguments": (
        chat([G_TEXT], [{"functionCall": {"name": "echo", "args": []}}], [G_RESULT]),
        A_TOOLS,
    ),
    "tools_declared": (chat([G_TEXT], [G_CALL], [G_RESULT]), []),
}


@pytest.mark.parametrize("rule", GOOGLE_REFUSES)
def test_googles_rules_refuse(rule):
    p.google({"contents": chat([G_TEXT], [G_CALL], [G_RESULT]), "tools": A_TOOLS})
    contents, tools = GOOGLE_REFUSES[rule]
    with pytest.raises(p.Refused) as caught:
        p.google({"contents": contents, "tools": tools})
    assert caught.value.rule == rule


def strict_engine(server):
    profile = {"name": "w", "model": "openai-compatible:m", "base_url": server.url}
    return make_engine(WorkerProfile.parse(profile), None)


async def test_the_library_sends_the_view_as_it_is():
    """The real client against the strict server: invented tools, two texts, a summary."""
    replies = [
        Reply(call("call_1", "in vented", "[1]")),
        Reply(text("no such tool")),
        Reply(text("a summary")),
        Reply(text("fine")),
    ]
    async with p.StrictServer(replies) as server, World(strict_engine(server), [tool()]) as world:
        await world.run("first")
        await world.worker.compact()
        await world.until(ev.CompactDone)
        await world.run("second")
        assert (await world.items())[-1].result == "finished"
    assert server.refused == []
    summary = server.requests[2][1]
    assert summary["tool_choice"] == "none"
    assert [t["function"]["name"] for t in summary["tools"]] == ["echo"]
