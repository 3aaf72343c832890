import io

import pytest
from rich.console import Console
from rich.text import Text

from yoi.cli.layout import Indented


def printed(shape, width):
    stream = io.StringIO()
    Console(file=stream, width=width).print(shape, crop=False)
    return stream.getvalue().splitlines()


@pytest.mark.parametrize("words", ["one two three four five six seven", "x" * 50])
def test_every_line_of_an_indented_text_keeps_the_indent(words):
    rows = printed(Indented(Text(words), 4), 20)
    assert len(rows) > 1
    assert all(row.startswith("    ") and row[4] != " " and len(row) <= 20 for row in rows)
    assert "".join(rows).replace(" ", "") == words.replace(" ", "")


def test_a_short_text_is_one_line_without_trailing_blanks():
    assert printed(Indented(Text("short"), 2), 40) == ["  short"]


def test_a_screen_narrower_than_the_indent_loses_no_character():
    assert "".join(printed(Indented(Text("abc" * 10), 4), 3)).replace(" ", "") == "abc" * 10


def test_what_the_width_breaks_off_hangs():
    rows = printed(Indented(Text("one two three four"), 1, hang=3), 20)
    assert rows == [" one two three", "    four"]
