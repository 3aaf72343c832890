"""The first half of a build: compile all Python code that the guest may import, and stop.

It has a process of its own. Every identifier that CPython parses stays in memory for ever, so an
interpreter that has compiled the library is no heap to begin an instance with.
"""

import os
import sys

from yoi_runner.library import CODE, INDEX, compile_modules

_HERE = os.path.dirname(__file__)
_OURS = ("yoi_runner", "yoi_pdk", "wit_world", "componentize_py_types.py")


def _roots() -> list[str]:
    """Return the folders of the library and of ours: the tool adds the host's site-packages."""
    return [
        root
        for root in sys.path
        if root.startswith("/python") or any(os.path.exists(f"{root}/{name}") for name in _OURS)
    ]


def _write(name: str, content: bytes) -> None:
    with open(f"{_HERE}/new", "wb") as file:
        file.write(content)
    os.rename(f"{_HERE}/new", f"{_HERE}/{name}")


_index, _code = compile_modules(_roots())
_write(CODE, _code)
_write(INDEX, _index)  # the last: the build looks for it
sys.exit("the library is written; there is no component to make of this")
