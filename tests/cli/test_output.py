"""Text of strangers on a screen, and JSON on one."""

import json
import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from yoi.cli.layout import moment, pairs, size, table
from yoi.cli.output import document, json_line, shown


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
