"""The next thing to do about a fault that does not say it itself."""

from yoi.errors import YoiError
from yoi.packages.unavailable import Explained, explained

_ADVICE = {
    "connection.dns": "check the host name in the url, and this machine's network",
    "connection.refused": "is the server running there, on that port? the host dials again",
    "connection.timeout": "is the server reachable from here? the host dials again",
    "connection.tls": "a server without TLS needs ws:// in the url; else check its certificate",
    "connection.handshake": "check the path of the url: the server takes no WebSocket there",
    "connection.lost": "the server, or something in between, ended it; the host dials again",
    "connection.idle": "the server, or the way to it, is gone; the host dials again",
    "connection.protocol": "the server, or something in between, breaks the WebSocket protocol",
    "request.dns": "check the host of the [[request]] target, and this machine's network",
    "request.refused": "is the server running there, on that port?",
    "request.timeout": "is the server reachable from here, and does it answer in time?",
    "request.tls": "a server without TLS needs http in the target; else check its certificate",
    "request.lost": "the server, or something in between, ended it",
    "request.protocol": "is the port right, and does the server speak HTTP/1.1 there?",
    "request.status": "what the status means, the server's documentation says",
    "request.rate_limited": "the plugin asks again before the time that the server named",
    "request.busy": "the plugin asks for more than it waits for",
    "journal.io": "is the disk full, read-only or locked? Yoi tries again by itself",
    "journal.format": "put a copy of the workspace's journal in its place, or begin without what "
    "it holds: docs/how-to/operate.md",
    "journal.full": "nothing more is accepted until there is room: yoi service status NAME",
    "sandbox.load": "yoi plugin check finds most of these; a library is put into the package with: "
    "yoi plugin add NAME",
    "sandbox.deadline": "look for a loop without end; for events the bound is deadline_ms of the "
    "ingress",
    "sandbox.memory": "keep less in memory, or ask for more: memory_bytes under [runtime] in "
    "plugin.toml",
    "sandbox.stack": "look for a recursion without end",
}


def advice(code: str) -> str | None:
    """Return what a person can do about `code` when nothing better is known, or None."""
    return _ADVICE.get(code)


def told(error: YoiError) -> Explained:
    """Return what a person reads of `error`: its sentence, and what to do where that is known."""
    kind, trace = error.fields.get("type"), error.fields.get("trace")
    words = Explained(error.message)
    if isinstance(kind, str) and isinstance(trace, str):
        words = explained(kind, error.message.removeprefix(f"{kind}: "), trace)
    return Explained(words.message, error.hint or words.hint or advice(error.code))
