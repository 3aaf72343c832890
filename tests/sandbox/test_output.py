"""Guest output: lines, bounded, escaped, and the loss is counted."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from yoi.display import printable
from yoi.limits import LIMITS
from yoi.sandbox.output import LogLine, Output

SMALL = replace(LIMITS, log_bytes=100, log_lines=5, log_line_chars=20)


def test_writes_become_lines() -> None:
    output = Output(LIMITS)
    for part in (b"a", b"b\nc\r\n", b"\n", b"tail"):
        output.write("stdout", part, len(part))
    output.write("stderr", b"err\n", 4)
    output.log("error", "said")
    assert [(line.stream, line.level, line.text) for line in output.take()] == [
        ("stdout", "info", "ab"),
        ("stdout", "info", "c"),
        ("stdout", "info", ""),
        ("stderr", "info", "err"),
        ("log", "error", "said"),
        ("stdout", "info", "tail"),
    ]
    assert output.take() == []


def test_an_unknown_level_is_info() -> None:
    output = Output(LIMITS)
    output.log("\x1b[2J", "x")
    assert output.take() == [LogLine("log", "info", "x")]


def test_bytes_that_are_no_text_are_shown_as_replacement() -> None:
    output = Output(LIMITS)
    output.write("stdout", b"\xff\xfe\n", 3)
    assert output.take()[0].text == "��"


@given(
    st.lists(
        st.tuples(st.sampled_from(["stdout", "stderr", "log"]), st.binary(max_size=200)),
        max_size=40,
    )
)
def test_nothing_is_over_its_bound_and_nothing_is_lost_silently(
    writes: list[tuple[str, bytes]],
) -> None:
    output, given_bytes = Output(SMALL), 0
    for stream, data in writes:
        given_bytes += len(data)
        if stream == "log":
            output.log("info", data.decode("latin-1"))
        else:
            output.write(stream, data, len(data))
    lines = output.take()
    own = [line for line in lines if line.stream == "host"]
    rest = [line for line in lines if line.stream != "host"]
    assert len(rest) <= SMALL.log_lines
    assert all(printable(line.text, 10_000) == line.text for line in lines)
    assert all(len(line.text) <= SMALL.log_line_chars for line in rest)
    if given_bytes > SMALL.log_bytes:
        assert own
        assert own[-1].dropped > 0
