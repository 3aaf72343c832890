"""What a plugin's exception looks like to the host. Never raises."""

import linecache
from typing import Any

_FRAMES = 6
_TRACE_CHARS = 2000
_MESSAGE_CHARS = 500


def failure(exc: BaseException) -> dict[str, Any]:
    """Return {"type", "message", "trace"}: the plugin's frames, innermost last."""
    try:
        return {"type": _kind(exc), "message": _message(exc), "trace": _trace(exc)}
    except BaseException:  # a hostile __str__, no memory left, no stack left
        return {"type": "Exception", "message": "the exception cannot be described", "trace": ""}


def _kind(exc: BaseException) -> str:
    return str(type(exc).__name__)[:100]


def _message(exc: BaseException) -> str:
    if isinstance(exc, SyntaxError):
        return f"{exc.msg} ({exc.filename}, line {exc.lineno})"[:_MESSAGE_CHARS]
    try:
        return str(exc)[:_MESSAGE_CHARS]
    except BaseException as second:
        return f"its __str__ raised {_kind(second)}"


def _trace(exc: BaseException) -> str:
    frames: list[str] = []
    tb = exc.__traceback__
    while tb is not None:
        code = tb.tb_frame.f_code
        if not code.co_filename.startswith(("<stdlib>", "/")):
            line = f"{code.co_filename}:{tb.tb_lineno} in {code.co_qualname}"
            source = linecache.getline(code.co_filename, tb.tb_lineno, tb.tb_frame.f_globals)
            frames.append(f"{line}\n    {source.strip()}" if source.strip() else line)
            if len(frames) > 2 * _FRAMES:
                del frames[_FRAMES:-_FRAMES]
        tb = tb.tb_next
    return "\n".join(frames[-_FRAMES:])[:_TRACE_CHARS]
