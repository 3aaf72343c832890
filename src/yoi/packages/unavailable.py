"""Words for an exception of Python code that used what the sandbox does not have.

The interpreter says `PermissionError: [Errno 2]` for a socket as well as for a process. What was
meant stands in the exception's kind and in the author's line, which the traceback carries.
"""

import re
from dataclasses import dataclass

from yoi.display import shell_word
from yoi.packages.guest_library import ATTRIBUTES, CALLS, FILES, MODULES, THREADS


@dataclass(frozen=True, slots=True)
class Explained:
    """A sentence about an exception, and what to use instead where that is known."""

    message: str
    hint: str | None = None


_BY_KIND = {
    "FileNotFoundError": ("there are no files in the sandbox", FILES),
    "ZoneInfoNotFoundError": ("there is no time zone data", CALLS["zoneinfo.ZoneInfo"]),
    "gaierror": ("there are no sockets in the sandbox", MODULES["socket"]),
    "URLError": ("there are no sockets in the sandbox", MODULES["urllib.request"]),
    "PermissionError": ("there are no sockets, files or processes here", MODULES["socket"]),
}
"""What an exception of a kind means where the line names nothing that is known."""
_KINDS = frozenset({*_BY_KIND, "OSError", "EOFError", "NotImplementedError", "RuntimeError"})
"""Kinds with which a call that cannot work ends, beside those of an empty environment."""
_LOOP_OR_THREAD = ("event loop", "new thread")
_MISSING = re.compile(r"No module named '_?([\w.]+)'")
_MODULE_USED = re.compile(r"(?<![\w.])(socket|ssl|smtplib|ftplib|imaplib|poplib)\.\w")


def _pattern(name: str, end: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w.]){re.escape(name)}{end}")


_CALLS = [(name, _pattern(name, r"\("), instead) for name, instead in CALLS.items()]
_ENVIRONMENT = re.compile(r"(?<![\w.])os\.(environ\b|getenv\()")


def explained(kind: str, message: str, trace: str) -> Explained:
    """Return `KIND: MESSAGE`, or a sentence that says what is not there and holds these words.

    `trace` has the plugin's frames as `PATH:LINE in NAME`, each above its indented source line.
    """
    raw = f"{kind}: {message}" if message else kind
    rows = [row.strip() for row in trace.splitlines() if row.startswith("    ")]
    line = rows[-1] if rows else ""
    if kind in ("ModuleNotFoundError", "ImportError"):
        return _module(message, raw)
    if kind == "KeyError" or "NoneType" in message:
        if _ENVIRONMENT.search(line):
            return Explained(
                f"os.environ is empty in the sandbox ({raw})", ATTRIBUTES["os.environ"]
            )
        return Explained(raw)
    if kind not in _KINDS or (
        kind == "RuntimeError" and not any(one in message for one in _LOOP_OR_THREAD)
    ):
        return Explained(raw)
    return _called(kind, message, line, raw)


def _called(kind: str, message: str, line: str, raw: str) -> Explained:
    for name, pattern, instead in _CALLS:
        if pattern.search(line):
            return Explained(f"{name}() cannot work in the sandbox ({raw})", instead)
    used = _MODULE_USED.search(line)
    if used is not None:
        return Explained(f"{used[1]} does not work in the sandbox ({raw})", MODULES[used[1]])
    if "new thread" in message:
        return Explained(f"there are no threads in the sandbox ({raw})", THREADS)
    if kind == "RuntimeError":
        return Explained(f"there is no event loop in the sandbox ({raw})", CALLS["asyncio.run"])
    if kind in _BY_KIND:
        sentence, instead = _BY_KIND[kind]
        return Explained(f"{sentence} ({raw})", instead)
    return Explained(raw)


def _module(message: str, raw: str) -> Explained:
    found = _MISSING.search(message)
    if found is None:
        return Explained(raw)
    name, top = found[1], found[1].partition(".")[0]
    instead = MODULES.get(name) or MODULES.get(top)
    if instead is None:
        instead = (
            f"a pure Python library is put into the package with: yoi plugin add {shell_word(top)}"
        )
    return Explained(f"there is no module {name} in the sandbox ({raw})", instead)
