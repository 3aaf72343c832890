"""What the model reads: outside text is framed, after summaries too, and nothing in it hides."""

import json
import unicodedata

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from yoi.display import escape_invisible
from yoi.limits import LIMITS
from yoi.protocol.events import Provenance
from yoi.workers import items as it
from yoi.workers.context import SUMMARY_HEAD, ToolOutputs, framed, model_input, outside_sources
from yoi.workers.items import Stored, decode_item, encode_item


def from_plugin(text, plugin="chat"):
    origin = Provenance(
        plugin=plugin,
        plugin_id=f"project:{plugin}",
        digest="sha256:0",
        ingress="events",
        event_id="e",
        command_id=text[:40],
    )
    return it.SystemItem(at_ms=1, text=text, provenance=origin, wakes=True)


def stored(*items):
    return [Stored(seq, item) for seq, item in enumerate(items, start=1)]


def taken(seq):
    return it.RunStart(at_ms=1, kind="user_send", takes=[seq])


def summary_of(history):
    sources, more = outside_sources(history)
    return it.Compaction(at_ms=1, summary="s", sources=sources, more_sources=more)


def heard(item):
    return model_input([Stored(1, item)]).messages[0].text


def test_a_summary_of_a_persons_words_is_not_framed():
    history = stored(it.UserInput(at_ms=1, text="hi"), taken(1))
    assert heard(summary_of(history)) == SUMMARY_HEAD + "s"
    assert heard(decode_item(encode_item(summary_of(history)))) == SUMMARY_HEAD + "s"


def test_a_message_that_no_run_has_taken_is_no_source():
    assert outside_sources(stored(from_plugin("x"))) == ([], 0)


def test_a_plugin_tool_is_a_source_and_a_builtin_tool_is_none():
    def result(kind):
        return it.ToolResult(
            at_ms=1,
            call_id="c",
            name="look",
            output="o",
            outcome="returned",
            origin=it.Origin(kind=kind, service="chat", plugin_id="project:chat", tool="look"),
        )

    assert outside_sources(stored(result("builtin"))) == ([], 0)
    ((source,), _) = outside_sources(stored(result("plugin")))
    assert (source.kind, source.plugin, source.through) == ("tool", "chat", "look")


def test_a_summary_from_before_sources_were_recorded_counts_as_outside():
    old = decode_item(b'{"type":"compaction","at_ms":1,"summary":"s"}')
    assert "strangers" in heard(old)
    again = summary_of([Stored(1, old)])
    assert [one.kind for one in again.sources] == ["unknown"]


def test_sources_are_bounded_and_counted():
    many = [from_plugin("x", f"p{number}") for number in range(LIMITS.summary_sources + 3)]
    run = it.RunStart(at_ms=1, kind="user_send", takes=list(range(1, len(many) + 1)))
    made = summary_of(stored(*many, run))
    assert (len(made.sources), made.more_sources) == (LIMITS.summary_sources, 3)
    again = summary_of([Stored(1, made)])
    assert (again.sources, again.more_sources) == (made.sources, 3)


@given(st.lists(st.sampled_from(["chat", "feed"]), min_size=1, max_size=6))
def test_no_number_of_summaries_loses_a_source(plugins):
    history = stored()
    expected = set()
    for plugin in plugins:
        expected.add(plugin)
        step = [*(one.item for one in history), from_plugin("x", plugin), taken(len(history) + 1)]
        history = stored(summary_of(stored(*step)))
        assert {one.plugin for one in history[0].item.sources} == expected
        assert "strangers" in model_input(history).messages[0].text


HIDDEN = "\u202e\u2066\u200b\u200d\ufeff\u00ad\U000e0041\U000e0100\ufe0f\u3164\u2800\x1b\x7f"


def test_what_hides_in_text_from_outside_is_spelled_out():
    text = framed(1, from_plugin(f"pay{HIDDEN}now\nplease"))
    assert not set(HIDDEN) & set(text)
    body = json.loads(text.partition("\n")[2])
    assert body["untrusted_text"] == f"pay{HIDDEN}now\nplease"
    assert "\\u202e" in text


def test_what_hides_in_an_answer_of_a_plugin_is_spelled_out():
    result = it.ToolResult(
        at_ms=1,
        call_id="c",
        name="look",
        output=f"a{HIDDEN}b\n\tc",
        outcome="returned",
        origin=it.Origin(kind="plugin", service="chat"),
    )
    (message,) = model_input(stored(result)).messages
    assert isinstance(message, ToolOutputs)
    shown = message.outputs[0].output
    assert not set(HIDDEN) & set(shown)
    assert shown.endswith("b\n\tc")


@given(st.text())
def test_escaping_leaves_nothing_that_hides_and_json_means_the_same(text):
    plain = text.encode("utf-16", "surrogatepass").decode("utf-16", "ignore")
    escaped = escape_invisible(plain)
    hidden = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert not [c for c in escaped if unicodedata.category(c) in hidden and c not in "\n\t"]
    encoded = msgspec.json.encode(plain).decode()
    assert json.loads(escape_invisible(encoded)) == plain
