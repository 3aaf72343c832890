"""The component: exports of wit/runner. Imported while it is built; what is made here is kept."""

import gc
import json
import sys

from wit_world.imports import host
from yoi_runner import fast_json
from yoi_runner.session import Session
from yoi_runner.stdlib import StdlibFinder


def _log(level: str, message: str) -> None:
    host.call("log", json.dumps({"level": level, "message": message[:4096]}))


def _state(key: str) -> str | None:
    answer = json.loads(host.call("state.get", json.dumps([key])))
    if "ok" not in answer:
        raise RuntimeError(answer["error"]["message"])
    value: str | None = answer["ok"]["value"]
    return value


_STDLIB = StdlibFinder()
_SESSION = Session(_STDLIB, _log, _state)


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
    """Keep the library in memory and forget the files: the sandbox has none."""
    _STDLIB.collect([root for root in sys.path if root.startswith("/python")])
    sys.path.clear()
    sys.meta_path[:] = [
        finder for finder in sys.meta_path if getattr(finder, "__name__", "") != "PathFinder"
    ]
    sys.meta_path.append(_STDLIB)
    # Its state would be in the snapshot, so every instance would draw the same numbers.
    sys.modules.pop("random", None)
    fast_json.install()
    # Everything made so far lives for ever: the collector need not look at it, nor touch its pages.
    gc.collect()
    gc.freeze()


_prepare()
