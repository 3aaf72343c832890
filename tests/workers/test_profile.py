"""Worker profiles: read strictly, refused with a place."""

import pytest

from yoi.errors import WorkerError
from yoi.workers.context import ModelInput, ToolOutput, ToolOutputs, UserText
from yoi.workers.engines import RuleScript
from yoi.workers.profile import ModelChoice, ScriptRule, WorkerProfile
from yoi.workers.rules import NotifyRule
from yoi.workers.scripted import CallTool, Say
from yoi.workers.tools import ToolChoice

FULL = {
    "name": "triage",
    "model": "openai-compatible:qwen3",
    "base_url": "http://127.0.0.1:8000/v1",
    "api_key": "local",
    "instructions": "be brief",
    "max_turns": 5,
    "max_output_tokens": 100,
    "thinking": "low",
    "tools": [
        {"plugin": "chat", "tool": "reply", "approval": "auto"},
        {"plugin": "chat", "tool": "ban user", "name": "ban"},
    ],
    "notify": [{"plugin": "chat", "start_run": True, "per_minute": 10}, {"plugin": "feed"}],
}


def test_a_full_profile():
    profile = WorkerProfile.parse(FULL)
    assert profile.model == ModelChoice(
        "openai-compatible:qwen3", "http://127.0.0.1:8000/v1", "local", 100, "low"
    )
    assert profile.tools == (
        ToolChoice("chat", "reply", "reply", "auto"),
        ToolChoice("chat", "ban user", "ban", "ask"),  # fail closed: a person is asked
    )
    assert profile.notify == {
        "chat": NotifyRule("chat", True, 10),
        "feed": NotifyRule("feed", False, 60),
    }
    assert profile.max_turns == 5


@pytest.mark.parametrize(
    ("change", "at"),
    [
        ({"name": "a b"}, "workers.name"),
        ({"model": "gpt"}, "workers.model"),
        ({"model": ":gpt"}, "workers.model"),
        ({"model": "scripted"}, "workers.script"),
        ({"script": [{"say": "x"}]}, "workers.script"),
        ({"base_url": "file:///etc"}, "workers.base_url"),
        ({"max_turns": 0}, "workers.max_turns"),
        ({"max_turns": 10_000}, "workers.max_turns"),
        ({"thinking": "hard"}, "workers.thinking"),
        ({"instructions": "x" * 20_000}, "workers.instructions"),
        ({"temprature": 1}, "workers.temprature"),
        ({"tools": [{"plugin": "chat"}]}, "workers.tools[0].tool"),
        ({"tools": [{"plugin": "c", "tool": "t", "approval": "yes"}]}, "workers.tools[0].approval"),
        ({"tools": [{"plugin": "c", "tool": "t"}] * 2}, "workers.tools"),
        ({"notify": [{"plugin": "c"}, {"plugin": "c"}]}, "workers.notify[1].plugin"),
        ({"notify": [{"plugin": "c", "per_minute": 0}]}, "workers.notify[0].per_minute"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(change, at):
    with pytest.raises(WorkerError) as caught:
        WorkerProfile.parse({**FULL, **change})
    assert caught.value.code == "worker.profile"
    assert caught.value.fields["at"] == at


def test_a_script_in_the_profile():
    table = {
        "name": "w",
        "model": "scripted",
        "script": [
            {"when": "help", "say": "on it", "call": "reply", "arguments": {"text": "hi"}},
            {"say": "hm"},
        ],
    }
    script = RuleScript(WorkerProfile.parse(table).script)

    def asked(message):
        return script(ModelInput("", (), (message,)))

    assert asked(UserText("please help")) == [Say("on it"), CallTool("reply", '{"text":"hi"}')]
    assert asked(UserText("else")) == [Say("hm")]
    assert asked(ToolOutputs((ToolOutput("c", "reply", "ok", False),))) == [Say("done")]
    assert RuleScript([ScriptRule("x", "y", "", {})])(ModelInput("", (), (UserText("z"),))) == [
        Say("nothing in my script fits")
    ]


def test_a_rule_that_does_nothing_is_refused():
    table = {"name": "w", "model": "scripted", "script": [{"when": "x"}]}
    with pytest.raises(WorkerError):
        WorkerProfile.parse(table)
