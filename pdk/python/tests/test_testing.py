"""The harness checks what a handler returns exactly as the runner does (U2)."""

import pytest

from yoi_pdk import Context, Event, Plugin, Reply, Send, Status, TextEvent, ToolCall, ToolResult
from yoi_pdk.limits import COMMANDS_PER_EVENT, MESSAGE_BYTES
from yoi_pdk.testing import PluginHarness, load_plugin, open_event, text_event


class Scripted(Plugin):
    """Answers with whatever `answer` holds."""

    answer: object = None

    def start(self, ctx: Context, config):
        self.started_with = config
        ctx.log(f"hello from {ctx.name}")

    def on_text(self, event: TextEvent, ctx: Context):
        return self.answer(event) if callable(self.answer) else self.answer

    def on_event(self, event: Event, ctx: Context):
        return self.answer

    def on_tool(self, call: ToolCall, ctx: Context):
        return self.answer

    def status(self):
        return {"ok": True}


@pytest.fixture
def plugin():
    return PluginHarness(Scripted, config={"a": 1}, name="mine")


def answer(plugin, value):
    plugin.plugin.answer = value
    return plugin.text("hi")


def test_start_gets_the_config_and_the_context(plugin):
    assert plugin.plugin.started_with == {"a": 1}
    assert plugin.ctx.config == {"a": 1}
    assert plugin.logs == [("info", "hello from mine")]
    assert plugin.status() == {"ok": True}
    plugin.stop()


def test_none_one_and_several_commands(plugin):
    assert answer(plugin, None) == []
    assert answer(plugin, Reply("x")) == [Reply("x")]
    assert answer(plugin, [Reply("x"), Status("fine")]) == [Reply("x"), Status("fine")]
    assert answer(plugin, lambda event: (event.reply(c) for c in "ab")) == [Reply("a"), Reply("b")]
    plugin.plugin.answer = Reply("o")
    assert plugin.event(open_event()) == [Reply("o")]
    assert plugin.event(text_event("t")) == [Reply("o")]


def test_replies_are_the_texts_alone(plugin):
    plugin.plugin.answer = lambda event: event.reply(event.text)
    assert plugin.replies("hi") == ["hi"]
    assert plugin.replies({"a": 1}) == ['{"a": 1}']
    plugin.plugin.answer = Send("x")
    with pytest.raises(AssertionError, match="not a reply"):
        plugin.replies("hi")


@pytest.mark.parametrize(
    ("wrong", "fix"),
    [
        ("text", r"return event\.reply"),
        (b"text", "a list of commands"),
        ({"text": "x"}, "a list of commands"),
        (7, "a list of commands"),
        (True, "a list of commands"),
        ([Reply("x"), "y"], r"each must be event\.reply"),
        ([None], "each must be"),
    ],
)
def test_a_wrong_answer_is_a_type_error_that_names_the_fix(plugin, wrong, fix):
    with pytest.raises(TypeError, match=fix):
        answer(plugin, wrong)


def test_an_endless_answer_ends_at_the_bound(plugin):
    with pytest.raises(ValueError, match=str(COMMANDS_PER_EVENT)):
        answer(plugin, lambda event: iter(lambda: event.reply("x"), None))
    assert len(answer(plugin, [Reply("x")] * COMMANDS_PER_EVENT)) == COMMANDS_PER_EVENT


def test_size_ids_and_encoding_are_checked(plugin):
    with pytest.raises(ValueError, match="bytes"):
        answer(plugin, Reply("é" * (MESSAGE_BYTES // 2 + 1)))
    with pytest.raises(ValueError, match="two commands with the id"):
        answer(plugin, [Send("x", id="a"), Send("y", id="a")])
    with pytest.raises(UnicodeEncodeError):
        answer(plugin, Reply("\ud800"))
    with pytest.raises(UnicodeEncodeError):
        answer(plugin, Status("\ud800"))


def test_tools_answer_text_objects_or_results(plugin):
    plugin.plugin.answer = "done"
    assert plugin.tool("say", {"a": 1}) == ToolResult("done")
    plugin.plugin.answer = {"n": 1}
    assert plugin.tool("say") == ToolResult("ok", {"n": 1})
    plugin.plugin.answer = ToolResult("s", "c")
    assert plugin.tool("say").wire() == {"summary": "s", "content": "c"}
    for wrong in (None, 7, [1], ToolResult):
        plugin.plugin.answer = wrong
        with pytest.raises(TypeError, match=r"ToolResult\(summary, content\)"):
            plugin.tool("say")
    with pytest.raises(TypeError, match="not empty"):
        ToolResult(" ")


def test_a_plugin_without_tools_says_so():
    with pytest.raises(NotImplementedError, match="on_tool"):
        PluginHarness(Plugin).tool("say")


def test_the_base_class_hears_everything_and_says_nothing():
    plugin = PluginHarness(Plugin)
    assert plugin.text("x") == []
    assert plugin.event(open_event()) == []
    assert plugin.status() == {}


def test_a_status_is_a_small_object(plugin):
    plugin.plugin.status = lambda: [1]
    with pytest.raises(TypeError, match="return a dict"):
        plugin.status()
    plugin.plugin.status = lambda: {"x": "y" * 70_000}
    with pytest.raises(ValueError, match="bound"):
        plugin.status()


def test_the_log_has_four_levels(plugin):
    plugin.ctx.log(7, "error")
    assert plugin.logs[-1] == ("error", "7")
    with pytest.raises(ValueError, match="level"):
        plugin.ctx.log("x", "loud")


def test_the_harness_takes_the_class():
    with pytest.raises(TypeError, match="the class"):
        PluginHarness(Scripted())  # type: ignore[type-var, arg-type]


def write(folder, entry, source):
    folder.mkdir()
    (folder / "plugin.toml").write_text(f'[runtime]\nentry = "{entry}"\n')
    (folder / "plugin.py").write_text(source)
    (folder / "helper.py").write_text(f"NAME = {folder.name!r}\n")
    return folder


SOURCE = "import helper\nfrom yoi_pdk import Plugin\nclass P(Plugin):\n    name = helper.NAME\n"


def test_plugins_of_the_same_name_are_loaded_from_their_own_folders(tmp_path):
    one = load_plugin(write(tmp_path / "one", "plugin:P", SOURCE))
    two = load_plugin(write(tmp_path / "two", "plugin:P", SOURCE))
    assert (one.name, two.name) == ("one", "two")  # type: ignore[attr-defined]


def test_an_entry_that_is_no_plugin_is_refused(tmp_path):
    with pytest.raises(ImportError, match="no class Q"):
        load_plugin(write(tmp_path / "a", "plugin:Q", SOURCE))
    with pytest.raises(TypeError, match="not a subclass"):
        load_plugin(write(tmp_path / "b", "plugin:helper", SOURCE))
