"""What a plugin's exception looks like to the host. Never raises."""

import linecache
from contextlib import suppress
from typing import Any

_FRAMES = 6
_KIND_CHARS = 100
_MESSAGE_CHARS = 500
_TRACE_CHARS = 2000
_OWN = "plugin/"
_NOT_THE_AUTHORS = ("<stdlib>", "<frozen", "/")


def failure(exc: BaseException, doing: str = "") -> dict[str, Any]:
    """Return {"type", "message", "trace"}: the plugin's frames, innermost last.

    `doing` is added where memory ran out.
    """
    if isinstance(exc, MemoryError):
        return _out_of_memory(exc, doing)
    try:
        return {
            "type": _clean(_kind(exc), _KIND_CHARS),
            "message": _clean(_message(exc), _MESSAGE_CHARS),
            "trace": _clean(_trace(exc), _TRACE_CHARS),
        }
    except BaseException:  # a hostile type, no memory left, no stack left
        return {"type": "Exception", "message": "the exception cannot be described", "trace": ""}


def _out_of_memory(exc: BaseException, doing: str) -> dict[str, Any]:
    """Say so whatever the type is called: two in a row, and the host replaces the instance."""
    told = {"type": "MemoryError", "message": f"the plugin's memory is used up{doing}", "trace": ""}
    with suppress(BaseException):
        told["trace"] = _clean(_trace(exc), _TRACE_CHARS)
    return told


def _clean(text: str, max_chars: int) -> str:
    """Return `text` bounded and without lone surrogates, which have no UTF-8."""
    return text[:max_chars].encode("utf-8", "replace").decode("utf-8")


def _kind(exc: BaseException) -> str:
    return str(type(exc).__name__)


def _message(exc: BaseException) -> str:
    if isinstance(exc, SyntaxError):
        return f"{exc.msg} ({exc.filename}, line {exc.lineno})"
    try:
        return str(exc)
    except BaseException as second:
        return f"its __str__ raised {_kind(second)}"


def _trace(exc: BaseException) -> str:
    frames: list[tuple[Any, int]] = []
    tb = exc.__traceback__
    while tb is not None:
        if not tb.tb_frame.f_code.co_filename.startswith(_NOT_THE_AUTHORS):
            frames.append((tb.tb_frame, tb.tb_lineno))
        tb = tb.tb_next
    return "\n".join(_line(frame, number) for frame, number in _worth_showing(frames))


def _worth_showing(frames: list[tuple[Any, int]]) -> list[tuple[Any, int]]:
    """Return the innermost frames, the author's last one among them however deep a library is."""
    shown = frames[-_FRAMES:]
    own = [one for one in frames if one[0].f_code.co_filename.startswith(_OWN)]
    return shown if not own or own[-1] in shown else [own[-1], *shown[1:]]


def _line(frame: Any, number: int) -> str:
    code = frame.f_code
    where = f"{code.co_filename}:{number} in {code.co_qualname}"
    source = linecache.getline(code.co_filename, number, frame.f_globals).strip()
    return f"{where}\n    {source[:200]}" if source else where
