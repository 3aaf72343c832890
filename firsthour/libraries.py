"""`yoi plugin add` from a folder of wheels, and what it must refuse without touching the plugin."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.libraries.wheels import NATIVE, source, wheel

Fill = Callable[[Path, Path], object]
"""Puts `bad` into the folder of wheels; the second path is what code that ran would leave."""


@dataclass(frozen=True)
class BadLibrary:
    """A distribution that cannot be added, and what must be said of it."""

    name: str
    says: tuple[str, ...]
    fill: Fill = lambda wheels, ran: None


def good(wheels: Path) -> None:
    """Fill `wheels` with a library, what it needs, and two that need each other."""
    wheel(wheels, "greet", requires=["word"], files={"greet.py": b"import word\nHI = word.WORD\n"})
    wheel(wheels, "word", files={"word.py": b"WORD = 'hi'\n"})
    wheel(wheels, "hen", requires=["egg"])
    wheel(wheels, "egg", requires=["hen"])


BAD = (
    BadLibrary("it does not exist", ("bad", r"package\.library_missing", "hint: ")),
    BadLibrary(
        "it has only native wheels",
        ("bad", "compiled", r"package\.library_native", "hint: "),
        lambda wheels, _: wheel(wheels, "bad", tag=NATIVE),
    ),
    BadLibrary(
        "its source would have to be run",
        ("bad", "source", r"package\.library_source", "hint: "),
        lambda wheels, ran: source(wheels, "bad", "1.0", ran),
    ),
    BadLibrary(
        "it has the name of ours",
        ("yoi_pdk", r"package\.library_name", "hint: "),
        lambda wheels, _: wheel(wheels, "bad", files={"yoi_pdk/__init__.py": b""}),
    ),
    BadLibrary(
        "it has the name of a module of the standard library",
        ("json", r"package\.library_name", "hint: "),
        lambda wheels, _: wheel(wheels, "bad", files={"json/__init__.py": b""}),
    ),
    BadLibrary(
        "200 MB of it",
        (r"package\.bounds", "hint: "),
        lambda wheels, _: wheel(wheels, "bad", files={"bad/__init__.py": bytes(200_000_000)}),
    ),
)
