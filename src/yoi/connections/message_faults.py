"""The faults of messages and frames, as errors."""

from websockets.exceptions import PayloadTooBig

from yoi.errors import ConnectionFailure
from yoi.limits import LIMITS


def parser_fault(exc: Exception, granted: int) -> ConnectionFailure:
    """Return what to report for the library's `parser_exc`."""
    if isinstance(exc, PayloadTooBig):
        size = (exc.size or 0) + (exc.current_size or 0)
        what = f"a message has {size} bytes or more" if exc.size else "a message is too big"
        return too_big(what, size, granted)
    return ConnectionFailure("connection.protocol", f"the peer broke the protocol: {exc}")


def too_big(what: str, size: int, allowed: int) -> ConnectionFailure:
    """Return what to raise for a message of `size` bytes where `allowed` are granted."""
    most = LIMITS.message_max_bytes
    if size > most:
        hint = f"no target may allow more than {most} bytes: send it in several messages"
    else:
        hint = (
            f"max_message_bytes = {max(size, allowed + 1)}   # in the target, in plugin.toml; "
            "then: yoi plugin enable"
        )
    return ConnectionFailure(
        "connection.too_big",
        f"{what}; its target allows {allowed}",
        hint=hint,
        size=size,
        allowed=allowed,
    )


def not_utf8() -> ConnectionFailure:
    """Return what to raise for a text message that is no text."""
    return ConnectionFailure("connection.protocol", "text that is not UTF-8", close_code=1007)


def flood(message: str) -> ConnectionFailure:
    """Return what to raise for frames that cost more than they carry."""
    return ConnectionFailure("connection.flood", message, close_code=1008)
