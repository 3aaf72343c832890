"""The harness judges by the plugin.toml beside the plugin (H4)."""

import pytest

from yoi_pdk import (
    HostError,
    Notify,
    Open,
    Plugin,
    Ready,
    Request,
    Send,
    ToolResult,
    insert_secret,
)
from yoi_pdk.testing import PluginHarness

MANIFEST = """
permissions = [{ kind = "notify", name = "triage" }]

[[ingresses]]
name = "chat"

[[connections]]
name = "room"
ingress = "chat"
open = "command"
target = { scheme = "wss", host = "chat.example.com", max_message_bytes = 2000000 }

[[request]]
name = "api"
scheme = "https"
host = "api.example.com"
methods = ["POST"]
path_prefixes = ["/v1"]
captures = [{ name = "url", at = "/url" }]

[[secrets]]
name = "token"
request = "api"
at = ["/headers/authorization"]

[[tools]]
name = "say"

[tools.input_schema]
type = "object"
required = ["text"]
additionalProperties = false

[tools.input_schema.properties.text]
type = "string"
maxLength = 5

[config_schema]
type = "object"
additionalProperties = false

[config_schema.properties.prefix]
type = "string"
default = "> "
"""


class Answers(Plugin):
    answer = None

    def start(self, ctx, config):
        self.prefix = config["prefix"]

    def on_text(self, event, ctx):
        self.heard = (event.connection, event.ingress)
        return self.answer

    def on_tool(self, call, ctx):
        return ToolResult("said", commands=self.answer or ())


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "plugin.toml"
    file.write_text(MANIFEST)
    return file


@pytest.fixture
def plugin(path):
    return PluginHarness(Answers, manifest=path)


def test_events_are_about_the_manifests_own_connection(plugin):
    plugin.text("x")
    assert plugin.plugin.heard == ("room", "chat")
    assert plugin.plugin.prefix == "> "


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (Send("x", connection="gateway"), r"gateway.*\(room\)"),
        (Ready("gateway"), "gateway"),
        (Open("room"), "needs a url"),
        (Request("web", "POST", "/v1"), r"web.*\(api\)"),
        (Request("api", "GET", "/v1/x"), "GET"),
        (Request("api", "POST", "/v12"), "/v12"),
        (Request("api", "POST", "/v1", capture=["token"]), "captures"),
        (Request("api", "POST", "/v1", insert=[insert_secret("/query/t", "token")]), "/query/t"),
        (Request("api", "POST", "/v1", insert=[insert_secret("/headers/a", "x")]), '"x"'),
        (Notify("other", "x"), "other"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_what_the_manifest_does_not_ask_for_is_refused(plugin, command, words):
    plugin.plugin.answer = command
    with pytest.raises(HostError, match=words):
        plugin.text("x")
    with pytest.raises(HostError, match=words):
        plugin.tool("say", {"text": "a"})


@pytest.mark.parametrize(
    "command",
    [
        Send("x", connection="room"),
        Send("x"),
        Open("room", url="wss://chat.example.com/"),
        Ready("room"),
        Request("api", "post", "/v1/x", insert=[insert_secret("/headers/authorization", "token")]),
        Request("api", "POST", "/v1", capture=["url"]),
        Notify("triage", "x"),
    ],
)
def test_what_the_manifest_asks_for_passes(plugin, command):
    plugin.plugin.answer = command
    assert plugin.text("x") == [command]


def test_tools_and_configuration_are_held_to_their_schemas(plugin, path):
    with pytest.raises(HostError, match="no tool 'shout'"):
        plugin.tool("shout")
    for wrong in ({}, {"text": 3}, {"text": "too long"}, {"text": "a", "b": 1}):
        with pytest.raises(ValueError, match=r"service\.tool_input"):
            plugin.tool("say", wrong)
    for wrong in ({"prefix": 3}, {"prefx": "a"}):
        with pytest.raises(ValueError, match=r"config\.value"):
            PluginHarness(Answers, config=wrong, manifest=path)


def test_without_a_manifest_nothing_of_it_is_judged():
    class Bare(Plugin):
        def on_text(self, event, ctx):
            return Send("x", connection="anywhere")

    plugin = PluginHarness(Bare)
    assert plugin.rules is None
    assert plugin.text("x") == [Send("x", connection="anywhere")]
