"""How a process that runs for long writes its log: one line an event, for people or for programs.

What goes into a line is decided when it is built: plain values only, escaped and bounded, tokens
masked. Nothing has to be searched for afterwards.

What libraries log is told by its template, and where their error happened: their arguments, and the
words of their errors, hold addresses of runtimes and whatever else came over the wire.
"""

import json
import logging
import os
import re
import sys
import traceback
from collections.abc import Mapping, MutableMapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from yoi.display import printable
from yoi.errors import YoiError
from yoi.types import Secret

if TYPE_CHECKING:
    from structlog.typing import Processor

_CHARS = 1024
_ITEMS = 32
_DEPTH = 4
_FRAMES = 24
_TOKENS = re.compile(r"\byois?_[A-Za-z0-9_-]{16,}|(?i:\bbearer\s+)\S+")


class LogFormat(StrEnum):
    """For whom lines are written."""

    TEXT = "text"
    JSON = "json"


LogLines = Annotated[
    LogFormat,
    typer.Option(
        "--log-format", metavar="FORMAT", help="How the log is written to stderr: text or json."
    ),
]
"""The option of commands that run for long."""


class LogLevel(StrEnum):
    """How much is written."""

    INFO = "info"
    DEBUG = "debug"


LogDetail = Annotated[
    LogLevel,
    typer.Option(
        "--log-level",
        help="debug adds what a provider of models answered, in its own words and masked.",
    ),
]
"""Another option of commands that run for long."""


def configure_logs(
    log_format: LogFormat, stream: TextIO | None = None, level: LogLevel = LogLevel.INFO
) -> None:
    """Write all log lines of this process to `stream` (stderr); calling again replaces that."""
    import structlog
    from structlog.stdlib import ProcessorFormatter

    stream = sys.stderr if stream is None else stream
    shared: list[Processor] = [
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        _safe,
    ]
    if log_format is LogFormat.JSON:
        last: Processor = structlog.processors.JSONRenderer(serializer=_json)
    else:
        last = structlog.dev.ConsoleRenderer(
            colors=stream.isatty(),
            timestamp_key="at",
            exception_formatter=structlog.dev.plain_traceback,
        )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=[_template, *shared],
            processors=[ProcessorFormatter.remove_processors_meta, last],
        )
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        if isinstance(old.formatter, ProcessorFormatter):
            root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("yoi").setLevel(level.upper())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def _template(_: Any, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Tell a library's record by its template, and where its error happened."""
    record: logging.LogRecord = entry["_record"]
    # asyncio writes a line of words and then whatever it holds.
    entry["event"] = next(iter(str(record.msg).splitlines()), "")
    entry["exc_info"] = record.exc_info
    return entry


def _safe(_: Any, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace every value by what may be shown of it."""
    failure = _failure(entry.pop("exc_info", None))
    for key in [key for key in entry if not key.startswith("_")]:
        entry[_shown(key, 0)] = _shown(entry.pop(key), _DEPTH)
    if failure is not None:
        entry["exception"] = _told(failure)
    return entry


def _shown(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return printable(_TOKENS.sub("yoi_…", str(value)), _CHARS)
    if isinstance(value, Secret):
        return repr(value)
    if isinstance(value, YoiError):
        return _shown(str(value), depth)
    if depth and isinstance(value, Mapping):
        pairs = list(value.items())[:_ITEMS]
        return {_shown(str(key), 0): _shown(one, depth - 1) for key, one in pairs}
    if depth and isinstance(value, list | tuple | set | frozenset):
        return [_shown(one, depth - 1) for one in list(value)[:_ITEMS]]
    # Its repr may say anything.
    return f"<{type(value).__name__}>"


def _failure(found: Any) -> BaseException | None:
    if found is True:
        found = sys.exc_info()
    if isinstance(found, tuple):
        found = found[1]
    return found if isinstance(found, BaseException) else None


def _told(error: BaseException) -> str:
    """Return where `error` happened. Messages of strangers only with YOI_TRACEBACK set."""
    whole = bool(os.environ.get("YOI_TRACEBACK"))
    words = str(error) if whole or isinstance(error, YoiError) else ""
    lines = ["Traceback (most recent call last):"]
    for frame in traceback.extract_tb(error.__traceback__)[-_FRAMES:]:
        lines.append(f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}')
        if frame.line:
            lines.append(f"    {frame.line}")
    name = type(error).__name__
    lines.append(f"{name}: {_shown(words, 0)}" if words else name)
    return "\n".join(lines)


def _json(entry: Any, **_: Any) -> str:
    return json.dumps(entry, ensure_ascii=True)
