"""Decode a TOML document; whatever is wrong with it is one kind of fault, with its line."""

import codecs
import math
import re
import tomllib
from typing import Any

_POSITION = re.compile(r"\(at line (\d+), column (\d+)\)")


class _NotFinite(ValueError):
    """A number that JSON cannot say."""


class TomlFault(Exception):
    """TOML that does not parse: `line` is 1-based, None when the parser does not say."""

    def __init__(self, message: str, line: int | None) -> None:
        self.message, self.line = message, line
        super().__init__(message)


def parse_toml(data: bytes) -> dict[str, Any]:
    """Return the document in `data`. Raises TomlFault and nothing else.

    A number that is none (`nan`, `inf`, `1e999`) is refused: JSON cannot say it, so that what was
    decided would never be what the file says.
    """
    if data.startswith(codecs.BOM_UTF8):
        raise TomlFault("line 1: begins with a byte order mark: save it as UTF-8 without one", 1)
    try:
        text = data.decode()
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise TomlFault(f"line {line}: not UTF-8 text", line) from None
    try:
        return tomllib.loads(text, parse_float=_finite)
    except tomllib.TOMLDecodeError as exc:
        raise _toml_fault(str(exc), text) from None
    except RecursionError:
        raise TomlFault("values are nested too deeply", None) from None
    except _NotFinite as exc:
        raise TomlFault(f"{exc} is not a finite number", None) from None
    except ValueError:
        # int() refuses thousands of digits; the TOML grammar does not.
        raise TomlFault("a number has too many digits", None) from None


def _finite(written: str) -> float:
    value = float(written)
    if not math.isfinite(value):
        raise _NotFinite(written[:32])
    return value


def _toml_fault(reason: str, text: str) -> TomlFault:
    """Return the parser's complaint with its line and column in front."""
    position = _POSITION.search(reason)
    if position is None:
        line = text.count("\n") + 1
        return TomlFault(
            f"line {line}: {reason.partition(' (at ')[0]} at the end of the file", line
        )
    line = int(position[1])
    column = position[2]
    return TomlFault(f"line {line}, column {column}: {reason[: position.start()].strip()}", line)
