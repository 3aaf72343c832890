"""Yoi: untrusted code decides, the host acts, a person can see.

    async with yoi.Host("path/to/workspace") as host:
        ...

docs/how-to/embed.md shows what a `Host` offers. Importing `yoi` loads nothing else; each name is
loaded when it is first asked for.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from yoi.errors import YoiError as YoiError
    from yoi.host import Host as Host
    from yoi.version import __version__ as __version__

_FRONT = {"Host": "yoi.host", "YoiError": "yoi.errors", "__version__": "yoi.version"}
"""The public names and where they are defined."""

__all__ = ["Host", "YoiError", "__version__"]


def __getattr__(name: str) -> Any:
    """Return the public name `name`, loading its module (PEP 562)."""
    if name not in _FRONT:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_FRONT[name]), name)


def __dir__() -> list[str]:
    """Return the public names, loaded or not."""
    return sorted({*globals(), *_FRONT})
