"""The component: exports of wit/runner. Imported while it is built; what is made here is kept.

The order matters, because every instance begins with this heap: the holes of the interpreter's
start are closed, then everything is imported out of the compiled library, so that it lies together.
"""

import gc
import os
import sys

from yoi_runner.compact import close_holes
from yoi_runner.library import CODE, INDEX
from yoi_runner.stdlib import StdlibFinder


def _read(name: str) -> bytes:
    with open(os.path.join(os.path.dirname(__file__), name), "rb") as file:
        return file.read()


_HOLES = close_holes()
_STDLIB = StdlibFinder(_read(INDEX), _read(CODE))
# The files are forgotten: the sandbox has none.
sys.path.clear()
sys.path_importer_cache.clear()
sys.meta_path[:] = [
    finder for finder in sys.meta_path if getattr(finder, "__name__", "") != "PathFinder"
]
sys.meta_path.append(_STDLIB)

import json  # noqa: E402

from wit_world.imports import host  # noqa: E402
from yoi_runner import fast_json  # noqa: E402
from yoi_runner.rehearsal import rehearse  # noqa: E402
from yoi_runner.session import Session  # noqa: E402


def _log(level: str, message: str) -> None:
    host.call("log", json.dumps({"level": level, "message": message[:4096]}))


_SESSION = Session(_STDLIB, _log, host.call)


class WitWorld:
    """componentize-py makes one object per call, so nothing is kept in it."""

    __slots__ = ()

    load = staticmethod(_SESSION.load)
    handle_tool = staticmethod(_SESSION.handle_tool)
    status = staticmethod(_SESSION.status)
    stop = staticmethod(_SESSION.stop)

    @staticmethod
    def dispatch(batch: str) -> str:
        raise RuntimeError("dispatch before start")  # the host broke the order: a trap is right

    @staticmethod
    def start(config: str) -> str:
        answer = _SESSION.start(config)
        if _SESSION.started:
            gc.freeze()
            WitWorld.dispatch = staticmethod(_SESSION.dispatcher())
        return answer


def _prepare() -> None:
    """Leave a heap that instances can share."""
    # Its state would be in the snapshot, so every instance would draw the same numbers.
    sys.modules.pop("random", None)
    fast_json.install()
    rehearse(_STDLIB)
    # Everything made so far lives for ever: the collector need not look at it, nor touch its pages.
    gc.collect()
    _HOLES.extend(close_holes())
    gc.freeze()


_prepare()
