"""One plugin in its runner: load, start, tools, status, stop. The hot path is in dispatch.py."""

import gc
import json
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from yoi_pdk import Context, Plugin, ToolCall
from yoi_pdk.answers import status_object, tool_result
from yoi_pdk.handlers import Handlers, finished
from yoi_pdk.host import HostCall, no_host
from yoi_pdk.keeping import StateSet
from yoi_runner.dispatch import make_dispatch
from yoi_runner.failures import failure
from yoi_runner.package import LIBRARIES, OWN, PackageFinder, reader
from yoi_runner.stdlib import StdlibFinder

_IMPORTING = " while it is imported: ask for more, memory_bytes under [runtime] in plugin.toml"


class Session:
    """The life of one plugin. No method raises: a failure is an answer."""

    def __init__(
        self,
        stdlib: StdlibFinder,
        log: Callable[[str, str], None],
        call: HostCall = no_host,
    ) -> None:
        self._stdlib = stdlib
        self._read = reader(call)
        self._ctx = Context("plugin", log, call)
        self._entry: type[Plugin] | None = None
        self._plugin: Plugin | None = None

    def load(self, source: str) -> str:
        """Import the plugin's entry class from the files that `source` lists."""
        return _guarded(lambda: self._load(json.loads(source)), _IMPORTING)

    def start(self, config: str) -> str:
        """Make the plugin, call its `start`, answer its status."""
        return _guarded(lambda: self._start(json.loads(config)))

    def dispatcher(self) -> Callable[[str], str]:
        """Return the function that handles batches for the started plugin."""
        return make_dispatch(self._started(), self._ctx)

    @property
    def started(self) -> bool:
        """Whether `start` succeeded."""
        return self._plugin is not None

    def handle_tool(self, call: str) -> str:
        """Answer one tool call."""
        return _tried_twice(lambda: self._tool(json.loads(call)))

    def status(self) -> str:
        """Answer the plugin's own status. It is asked between events, so collect garbage first."""
        gc.collect()
        return _tried_twice(lambda: status_object(self._started().status()))

    def stop(self) -> str:
        """Call the plugin's `stop`."""
        return _guarded(self._stop)

    def _load(self, source: dict[str, Any]) -> dict[str, Any]:
        if self._entry is not None:
            raise RuntimeError("a package is loaded already")
        for root, paths in ((OWN, source["files"]), (LIBRARIES, source.get("libraries", ()))):
            self._add_root(root, paths)
        module_name, _, class_name = source["entry"].partition(":")
        __import__(module_name)
        entry = getattr(sys.modules[module_name], class_name, None)
        if entry is None:
            raise ImportError(f"entry: {module_name} has no class {class_name}")
        if not (isinstance(entry, type) and issubclass(entry, Plugin)):
            raise TypeError(f"entry: {class_name} is not a subclass of yoi_pdk.Plugin")
        self._entry = entry
        self._ctx.name = str(source.get("name") or "plugin")
        return {}

    def _add_root(self, root: str, paths: list[str]) -> None:
        if not paths:
            return
        finder: Any = PackageFinder(root, paths, self._read)
        for name in sorted(finder.top_level):
            if name in self._stdlib or name in sys.builtin_module_names or name in sys.modules:
                raise ImportError(f"{name} is the name of a module of Python: rename yours")
        sys.meta_path.append(finder)

    def _start(self, config: Any) -> dict[str, Any]:
        if self._entry is None:
            raise RuntimeError("load comes before start")
        plugin = self._entry()
        self._ctx.config = {} if config is None else config
        self._handlers = Handlers(plugin)
        finished(plugin.start(self._ctx, self._ctx.config), "start")
        self._ctx.state.stage()
        self._plugin = plugin
        return status_object(plugin.status())

    def _tool(self, call: dict[str, Any]) -> dict[str, Any]:
        self._started()
        work = ToolCall(call["name"], call["input"], call.get("id", ""))
        try:
            result = tool_result(
                self._handlers.on_tool(work, self._ctx), self._handlers.tool_name(work.name)
            )
            kept = [StateSet(key, value) for key, value in self._ctx.state.take()]
            return result.also(kept).wire()
        finally:
            self._ctx.state.take()

    def _stop(self) -> dict[str, Any]:
        self._started().stop()
        return {}

    def _started(self) -> Plugin:
        if self._plugin is None:
            raise RuntimeError("the plugin is not started")
        return self._plugin


def _tried_twice(work: Callable[[], dict[str, Any]]) -> str:
    """Answer what `work` does; out of memory, once more after collecting garbage."""

    def within_memory() -> dict[str, Any]:
        with suppress(MemoryError):
            return work()
        gc.collect()
        return work()

    return _guarded(within_memory)


def _guarded(work: Callable[[], dict[str, Any]], doing: str = "") -> str:
    try:
        answer = json.dumps({"ok": work()}, ensure_ascii=False, allow_nan=False)
        answer.encode()
        return answer
    except BaseException as exc:  # also SystemExit and KeyboardInterrupt: the host decides
        return json.dumps({"error": failure(exc, doing)})
