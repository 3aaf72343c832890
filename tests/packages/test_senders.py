"""`[[plugins.enabled.senders]]`: read strictly, written as it was read."""

import pytest

from yoi.packages import Enablement
from yoi.packages.edits import write_enablement
from yoi.permissions import JsonPointer
from yoi.permissions.match import Match
from yoi.permissions.senders import SenderRule

ENTRY = f"""[[plugins.enabled]]
id = "project:chat"
version = "1"
digest = "sha256:{"a" * 64}"
"""
RULE = """
[[plugins.enabled.senders]]   # friends
when = {WHEN}
at = "/author/id"
in = ["ann", 7]
"""


def read(tmp_path, when):
    path = tmp_path / "yoi.toml"
    path.write_text(ENTRY + RULE.replace("{WHEN}", when))
    return Enablement.load(path), path


@pytest.mark.parametrize(
    ("when", "match"),
    [
        ('{ at = "/type", equals = "message" }', Match(JsonPointer.parse("/type"), ("message",))),
        ('{ at = "/type", one_of = ["a", 2] }', Match(JsonPointer.parse("/type"), ("a", 2))),
        ('{ at = "", prefix = "PRIVMSG " }', Match(None, prefix="PRIVMSG ")),
    ],
)
def test_a_rule_is_read_and_written_back(tmp_path, when, match):
    enablement, path = read(tmp_path, when)
    (entry,) = enablement.entries
    assert entry.senders == (SenderRule(match, JsonPointer.parse("/author/id"), ("ann", 7)),)
    write_enablement(path, entry)
    assert "# friends" in path.read_text()
    assert Enablement.load(path).entries == (entry,)


@pytest.mark.parametrize(
    ("when", "at"),
    [
        ('{ at = "/type" }', "senders[0].when.equals"),
        ('{ at = "/type", equals = "a", prefix = "b" }', "senders[0].when.equals"),
        ('{ at = "/type", equals = 2026-01-01 }', "senders[0].when.equals"),
        ('{ at = "", equals = 1 }', "senders[0].when.equals"),
        ('{ at = "type", equals = "a" }', "senders[0].when.at"),
        ('{ equals = "a" }', "senders[0].when.at"),
    ],
)
def test_a_faulty_rule_switches_the_plugin_off(tmp_path, when, at):
    enablement, _ = read(tmp_path, when)
    assert enablement.entries == ()
    (diagnosis,) = enablement.diagnostics
    assert at in str(diagnosis.error)
