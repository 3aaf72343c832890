"""Looking again and again, until somebody has seen enough."""

import io
import sys

import pytest
from rich.text import Text

from yoi.cli import watching
from yoi.cli.output import Output


@pytest.fixture
def pauses(monkeypatch):
    taken = []
    monkeypatch.setattr(watching.time, "sleep", taken.append)
    return taken


def looker(*answers):
    """Return a `look` that gives these answers and is then interrupted, as by Ctrl-C."""
    left = list(answers)

    def look():
        if not left:
            raise KeyboardInterrupt
        return left.pop(0)

    return look


def test_an_interrupt_is_how_a_person_ends_it(pauses, capsys):
    watching.follow(looker("one", "two"), Text, Output("x", False), 0.5, None)
    assert capsys.readouterr().out == "one\ntwo\n"
    assert pauses == [0.5, 0.5]


def test_a_count_ends_it_without_a_last_pause(pauses, capsys):
    watching.follow(looker("one", "two", "three"), Text, Output("x", True), 0.5, 2)
    assert capsys.readouterr().out == '{"services": "one"}\n{"services": "two"}\n'
    assert pauses == [0.5]


def test_a_terminal_gets_one_screen_that_changes(pauses, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("TERM", "xterm")
    watching.follow(looker("one", "two"), Text, Output("x", False), 0.5, None)
    assert "\x1b[2K" in screen.getvalue(), "the earlier answer is wiped"
    assert "two" in screen.getvalue()
