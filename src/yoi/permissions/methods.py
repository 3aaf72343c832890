"""The HTTP methods that a request may have, in the order in which they are shown."""

from yoi.display import printable

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def one_method(written: str) -> str:
    """Return a method as it is kept. Raises ValueError for any other."""
    if written.upper() not in METHODS or not written.isascii():
        raise ValueError(f"must be one of {', '.join(METHODS)}, not {printable(written, 40)!r}")
    return written.upper()


def some_methods(found: tuple[str, ...]) -> tuple[str, ...]:
    """Return methods each once, in their order. Raises ValueError for none."""
    if not found:
        raise ValueError('must name at least one method, such as ["GET"]')
    return tuple(method for method in METHODS if method in found)
