"""The one place where a wasmtime error becomes a Yoi error.

wasmtime-py gives no trap code for components, only a message whose last line names the cause.
"""

from yoi.errors import GuestTrapped
from yoi.sandbox.state import Stop

_BY_CAUSE = (
    ("wasm trap: interrupt", "sandbox.deadline", "the guest used up its time"),
    ("call stack exhausted", "sandbox.stack", "the guest's stack overflowed"),
    ("memory minimum size", "sandbox.memory", "the component needs more memory than its bound"),
    ("table minimum size", "sandbox.memory", "the component needs larger tables than its bound"),
    ("resource limit exceeded", "sandbox.memory", "the component needs more than its bounds"),
    ("forcing trap when growing memory", "sandbox.memory", "the guest's memory is over its bound"),
    ("fuel allocated for hostcalls", "sandbox.answer_too_large", "the guest passed too much data"),
    ("matching implementation", "sandbox.world", "the component imports what no host offers"),
    ("realloc return", "sandbox.memory", "the guest's allocator failed"),
    ("invalid utf-8", "sandbox.answer_malformed", "the guest's text is not UTF-8"),
    ("out of bounds", "sandbox.trap", "the guest left its memory"),
    ("unreachable", "sandbox.trap", "the guest aborted"),
)


def trapped(message: str, failure: BaseException | None) -> GuestTrapped:
    """Return the error for a failed guest call.

    `message` is wasmtime's; `failure` is what a host import raised during the call, if one did.
    """
    if isinstance(failure, Stop):
        return GuestTrapped(failure.code, str(failure), hint=failure.hint)
    if failure is not None:
        return GuestTrapped(
            "sandbox.trap", f"a host function failed: {type(failure).__name__}: {failure}"
        )
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    last = lines[-1] if lines else "no message"
    for cause, code, text in _BY_CAUSE:
        if cause in last:
            return GuestTrapped(code, text, cause=last)
    return GuestTrapped("sandbox.trap", f"the guest trapped: {last}")
