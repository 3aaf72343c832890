"""An exception that nothing expected, as an error of ours: what was under way, where it broke."""

from yoi.display import printable
from yoi.errors import YoiError

_WORDS = 300


def defect(exc: BaseException, doing: str, words: str = "") -> YoiError:
    """Return `exc`, met while `doing`, as an error; one that is ours already stays as it is.

    Its own `words` are shown only where the caller passes them: those of an exception met while
    something is sent may hold a secret.
    """
    if isinstance(exc, YoiError):
        return exc
    said = f": {printable(words, _WORDS)}" if words else ""
    return YoiError(
        "usage.internal",
        f"{doing} failed with {described(exc)}{said}",
        hint="this is a defect in Yoi; please report these words",
    )


def described(exc: BaseException) -> str:
    """Return the type of `exc` and where it was raised, without its words."""
    frame = exc.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    if frame is None:
        return type(exc).__name__
    module = frame.tb_frame.f_globals.get("__name__", "?")
    return f"{type(exc).__name__} in {module}, line {frame.tb_lineno}"
