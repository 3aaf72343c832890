"""Text of strangers on a screen, and JSON on one."""

import io
import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from yoi.cli.layout import age, many, moment, pairs, size, table
from yoi.cli.output import HostOutput, document, json_line, shown


@given(st.text())
def test_no_text_ever_acts_on_a_terminal(text):
    """Whatever is shown, the terminal gets printable characters and line ends only."""
    screen = Console(width=60, force_terminal=False, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with screen.file:
        grid = table("a")
        grid.add_row(shown(text))
        screen.print(grid)
        screen.print(pairs([("x", shown(text))]), crop=False)
        printed = screen.export_text(styles=False)
    spaces = {char for char in printed if unicodedata.category(char) == "Zs"}
    assert all(char.isprintable() or char in spaces or char == "\n" for char in printed)


def test_markup_is_text():
    assert shown("[red]x[/red] [link=http://a]b[/link]").plain == (
        "[red]x[/red] [link=http://a]b[/link]"
    )


@given(st.recursive(st.none() | st.text() | st.integers(), st.lists))
def test_json_is_printable_ascii(value):
    for text in (document({"v": value}), json_line({"v": value})):
        assert text.isascii()
        assert all(char.isprintable() or char == "\n" for char in text)
        assert json.loads(text) == {"v": value}
    assert "\n" not in json_line({"v": value})


def test_what_json_cannot_say_becomes_words(tmp_path):
    assert json.loads(document({"path": tmp_path})) == {"path": str(tmp_path)}


def test_sizes_and_moments():
    assert [size(n) for n in (0, 1023, 1024, 1536, 8 << 20, 3 << 30)] == [
        "0 B", "1023 B", "1 KiB", "1.5 KiB", "8 MiB", "3 GiB",
    ]  # fmt: skip
    assert moment("2026-01-31T12:00:00.123Z") == "2026-01-31 12:00:00"
    assert moment(None) == ""
    assert moment("never") == "never"


def test_a_table_that_does_not_fit_is_stacked_and_one_that_does_is_not():
    grid = table("name", "state", ">in", "why")
    grid.add_row(shown("echo"), shown("degraded"), shown(12345), shown("the gateway is down " * 3))
    grid.add_row(shown("other"), shown("running"), shown(1), shown(""))

    def printed(width):
        screen = Console(width=width, record=True, file=io.StringIO())
        screen.print(grid, crop=False)
        return [line.rstrip() for line in screen.export_text().splitlines()]

    assert printed(100)[0].split() == ["name", "state", "in", "why"]
    assert printed(30) == [
        "name echo",
        "  state  degraded",
        "  in     12345",
        "  why    " + ("the gateway is down " * 3).rstrip(),
        "",
        "name other",
        "  state  running",
        "  in     1",
    ]


@pytest.mark.parametrize(
    ("at", "words"),
    [
        ("2026-01-02T03:05:18.400Z", "12 s ago"),
        ("2026-01-02T03:10:30.000Z", "in 5 min"),
        ("2026-01-02T00:05:30.000Z", "3 h ago"),
        ("2025-12-02T00:05:30.000Z", "2025-12-02 00:05:30"),
        ("not a time", "not a time"),
        (None, ""),
    ],
)
def test_ages_are_for_people(at, words):
    assert age(at) == words


def test_one_is_singular():
    assert [many(1, "event"), many(2, "event"), many(0, "entry", "entries")] == [
        "1 event",
        "2 events",
        "0 entries",
    ]


@pytest.mark.parametrize("fault", [BrokenPipeError, OSError])
@pytest.mark.parametrize("as_json", [False, True])
def test_a_host_goes_on_where_its_output_is_not_taken(as_json, fault, monkeypatch, tmp_path):
    class Taken(io.StringIO):
        def write(self, text):
            raise fault(28, "no")

        def fileno(self):
            return there.fileno()

    with (tmp_path / "there").open("w") as there:
        monkeypatch.setattr("sys.stdout", Taken())
        monkeypatch.setattr("sys.stderr", Taken())
        output = HostOutput("serve", as_json)
        output.line({"event": "ready"}, lambda: shown("ready"))
        output.note("beside it")
