"""`yoi plugin dev`: nothing runs while a person is asked; an answer is for what was shown."""

import pytest

from yoi.host.dev import DevSession
from yoi.packages.templates import create_from_template
from yoi.testing import ManualClock

MORE = '\n[[websocket]]\nscheme = "wss"\nhost = "example.com"\npath_prefixes = ["/"]\n'


@pytest.fixture
def folder(tmp_path):
    create_from_template("tool", tmp_path / "adder")
    return tmp_path / "adder"


def save_more(folder, words=MORE):
    manifest = folder / "plugin.toml"
    manifest.write_text(manifest.read_text() + words)


def test_a_save_that_asks_for_more_stops_the_plugin_before_the_question(folder):
    asked, answers = [], [True, False]

    def ask(package, before):
        asked.append(before)
        return answers.pop(0)

    session = DevSession(folder, {}, {}, ask, ManualClock())
    assert len(session.read().plugins) == 1
    assert (len(asked), session.due_in()) == (1, None)
    save_more(folder)
    stopped = session.read()
    assert stopped.plugins == ()
    assert [one.code for one in stopped.diagnostics] == ["notice.dev"]
    assert (len(asked), session.due_in()) == (1, 0.0)  # not asked yet: it is stopped first
    refused = session.read()
    assert refused.plugins == ()
    assert [one.code for one in refused.diagnostics] == ["usage.aborted"]
    assert (len(asked), session.due_in()) == (2, None)
    assert session.read().plugins == ()  # a refusal holds
    assert len(asked) == 2


def test_what_was_agreed_to_is_not_asked_again(folder):
    asked = []

    def ask(package, before):
        asked.append(package.digest)
        return True

    session = DevSession(folder, {}, {}, ask, ManualClock())
    session.read()
    plugin = folder / "plugin.py"
    plugin.write_text(plugin.read_text() + "\n# saved\n")
    assert len(session.read().plugins) == 1
    assert len(asked) == 1
