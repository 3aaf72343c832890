"""Guests of the benchmark's plugin, without connections or services around them."""

from collections.abc import Callable
from typing import Any, TypeVar

from harness.workspace import plugin_files
from yoi.limits import LIMITS
from yoi.protocol.ingress import TextFrame
from yoi.sandbox import Guest, Sandbox
from yoi.sandbox.threads import start_thread
from yoi.types import SessionId

T = TypeVar("T")

# The frame that instruments/gw.c sends, byte for byte.
TEXT = (
    '{"type":"event","id":"@@%010d","ts":1700000000.%06d,"channel":"C0123456789",'
    '"user":"U0123456789","team":"T0123456789","event":{"type":"message","text":"The quick brown '
    'fox jumps over the lazy dog and then goes home to rest for a while","subtype":null,"n":%d,'
    '"thread_ts":"1700000000.000100","flags":[1,2,3]}}'
)
SESSION = SessionId("0123456789abcdef0123456789abcdef")


def one_frame(number: int) -> TextFrame:
    """Return frame `number` as a connection would hand it over."""
    text = TEXT % (number, number, number)
    return TextFrame("events", "gateway", SESSION, number, text, 1_700_000_000_000, len(text))


def make_guest(sandbox: Sandbox, files: dict[str, bytes] | None = None) -> Guest:
    """Return a started guest of `files`; left out, of the benchmark's plugin."""
    if files is None:
        files = {path: data for path, data in plugin_files(1).items() if path.endswith(".py")}
    guest = sandbox.load_python(files, "plugin:Answer")
    guest.start("{}", LIMITS.start_ms)
    return guest


def on_guest_thread(work: Callable[[], T]) -> T:
    """Return what `work` returns on a thread that may run guests."""
    box: list[Any] = []

    def run() -> None:
        try:
            box.append((work(), None))
        except BaseException as exc:
            box.append((None, exc))

    start_thread(run, name="bench", stack_bytes=LIMITS.thread_stack_bytes).join()
    result, error = box[0]
    if error is not None:
        raise error
    return result
