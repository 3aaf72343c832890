"""The sandbox of one host: from plugin source or component bytes to a Guest."""

import hashlib
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic, thread_time
from types import MappingProxyType
from typing import Any
from weakref import WeakValueDictionary

import msgspec
from wasmtime import WasmtimeError
from wasmtime.component import Component

from yoi.errors import SandboxError, YoiError
from yoi.limits import Limits
from yoi.sandbox import bindings
from yoi.sandbox.binding import Binding
from yoi.sandbox.cache import CodeCache
from yoi.sandbox.compiler import Compiler
from yoi.sandbox.engine import ProcessEngine
from yoi.sandbox.guest import ComponentGuest, Guest, PythonGuest
from yoi.sandbox.instance import Instance
from yoi.sandbox.linking import Linked, link
from yoi.sandbox.package_files import PackageFiles
from yoi.sandbox.runner import runner_component
from yoi.sandbox.state import GuestState, HostCalls
from yoi.types import Clock

_DENIED = msgspec.json.encode(
    {"error": {"code": "denied.unsupported", "message": "this host does not carry this out"}}
).decode()
_OK = '{"ok":{}}'


def deny_all(op: str, argument: str) -> str:
    """Refuse every host call: the `HostCalls` of a host that offers nothing but the log."""
    return _DENIED


class Sandbox:
    """Load plugins. Safe to use from several threads; every `load_*` blocks.

    `cache_dir` gets the folders `runner` and `code`, both with mode 0700. Making a Sandbox is
    quick; the first `warm_up` or load on a machine compiles the runner, which takes seconds.
    """

    def __init__(
        self,
        limits: Limits,
        cache_dir: Path,
        *,
        binding: Binding | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._limits = limits
        self._process = ProcessEngine.shared(limits)
        self._cache_dir = cache_dir
        self._cache = CodeCache(
            cache_dir / "code", self._process.fingerprint, limits.compiled_components
        )
        self._compiler = Compiler(self._cache, limits)
        self._binding = binding or bindings.choose()
        self._clock = clock
        self._lock = threading.Lock()
        self._runner: Linked | None = None
        self._foreign: WeakValueDictionary[str, Linked] = WeakValueDictionary()
        self._closed = False

    def warm_up(self) -> None:
        """Compile (first run: seconds) and link the Python runner, so that loads are quick."""
        self.python_runner()

    def python_runner(self, progress: Callable[[str], None] | None = None) -> Component:
        """Return the compiled Python runner. Raises SandboxError (`sandbox.runner_missing`).

        `progress` is told, in a few words, what takes time.
        """
        return self._python(progress).component

    def load_python(
        self,
        files: Mapping[str, bytes],
        entry: str,
        host_calls: HostCalls = deny_all,
        *,
        libraries: Mapping[str, bytes] = MappingProxyType({}),
        name: str = "plugin",
        budget_ms: int | None = None,
        memory_bytes: int | None = None,
        message_bytes: int | None = None,
    ) -> Guest:
        """Return a guest that has imported `entry` ("module:Class") from `files`.

        What stands in neither `files` nor `libraries` does not exist for it; the content reaches
        the guest when it is imported or read.

        Raises GuestRefused (`sandbox.load`) when the source does not import, GuestTrapped when
        importing it does not end well, SandboxError for the runner itself.
        """
        linked = self._python(None)
        budget = self._limits.load_ms if budget_ms is None else budget_ms
        until = monotonic() + budget / 1000
        package = PackageFiles(files, libraries, host_calls)
        instance = self._instance(package, name, memory_bytes, message_bytes)
        calls = instance.instantiate(linked, PythonGuest.EXPORTS, budget)
        guest = PythonGuest(instance, calls, self._limits, self._clock)
        try:
            guest.load(package, entry, name, max(0, int((until - monotonic()) * 1000)))
        except YoiError as exc:
            # What it printed before it failed is the author's best help.
            exc.fields = {**exc.fields, "output": guest.take_output()}
            guest.close()
            raise
        return guest

    def load_component(
        self,
        component: bytes,
        host_calls: HostCalls = deny_all,
        *,
        name: str = "plugin",
        budget_ms: int | None = None,
        memory_bytes: int | None = None,
        message_bytes: int | None = None,
    ) -> Guest:
        """Return a guest of the world yoi:plugin/instance@1.0.0 from its bytes.

        Compiles them in a bounded child process unless this host has done so before. Raises
        SandboxError (`sandbox.compile`, `sandbox.world`) or GuestTrapped.
        """
        linked = self._component(component)
        instance = self._instance(host_calls, name, memory_bytes, message_bytes)
        calls = instance.instantiate(
            linked,
            ComponentGuest.EXPORTS,
            self._limits.load_ms if budget_ms is None else budget_ms,
        )
        return ComponentGuest(instance, calls, self._limits)

    def close(self) -> None:
        """Forget compiled components. Guests that still run keep theirs."""
        self._closed = True
        # A thread that compiles holds the lock for seconds; nothing is worth waiting for that.
        if self._lock.acquire(blocking=False):
            self._runner = None
            self._foreign.clear()
            self._lock.release()

    def _instance(
        self, host_calls: HostCalls, name: str, memory_bytes: int | None, message_bytes: int | None
    ) -> Instance:
        return Instance(
            self._process.engine,
            self._process.ticker,
            self._binding,
            self._limits,
            GuestState(self._limits, host_calls),
            name,
            self._limits.guest_memory_bytes if memory_bytes is None else memory_bytes,
            self._limits.message_bytes if message_bytes is None else message_bytes,
        )

    def _python(self, progress: Callable[[str], None] | None) -> Linked:
        with self._lock:
            self._require_open()
            if self._runner is None:
                if progress is not None:
                    progress("preparing the Python runner (once per machine)")
                self._runner = self._linked(
                    runner_component(self._cache_dir).read_bytes(), _runner_import
                )
            return self._runner

    def _component(self, component: bytes) -> Linked:
        key = hashlib.sha256(component).hexdigest()
        with self._lock:
            self._require_open()
            linked = self._foreign.get(key)
        if linked is None:
            linked = self._linked(component, _public_import)
            with self._lock:
                self._require_open()
                linked = self._foreign.setdefault(key, linked)
        return linked

    def _linked(self, data: bytes, host: Callable[[str], Any]) -> Linked:
        engine = self._process.engine
        try:
            component = self._deserialize(data)
        except WasmtimeError:
            # Another process forgot the file just now, or the engine was rebuilt under its version.
            self._compiler.forget(data)
            try:
                component = self._deserialize(data)
            except WasmtimeError as exc:
                raise SandboxError("sandbox.compile", f"compiled code was refused: {exc}") from None
        return link(engine, component, self._binding, self._limits, host)

    def _deserialize(self, data: bytes) -> Component:
        path = self._compiler.compiled(data)
        return Component.deserialize_file(self._process.engine, str(path))

    def _require_open(self) -> None:
        if self._closed:
            raise SandboxError("sandbox.engine", "the sandbox is closed")


def _log(state: GuestState, level: str, message: str) -> str:
    state.output.log(level, message)
    return _OK


def _ask(state: GuestState, op: str, argument: str) -> str:
    began, cpu = monotonic(), thread_time()
    answer = state.host_calls(op, argument)
    # Its processor time is the turn's in any case; what it waited for is as well.
    state.waited(max(0.0, monotonic() - began - (thread_time() - cpu)))
    if not isinstance(answer, str):
        raise TypeError(f"host call {op} answered {type(answer).__name__}")
    state.check_deadline()
    return answer


class _LogArgument(msgspec.Struct):
    level: str = "info"
    message: str = ""


_decode_log = msgspec.json.Decoder(_LogArgument).decode
_MALFORMED = msgspec.json.encode(
    {"error": {"code": "sandbox.answer_malformed", "message": "the argument has another shape"}}
).decode()


def _runner_call(state: GuestState, op: str, argument: str) -> str:
    if op != "log":
        return _ask(state, op, argument)
    try:
        line = _decode_log(argument)
    except (msgspec.DecodeError, RecursionError):
        return _MALFORMED
    return _log(state, line.level, line.message)


def _runner_import(name: str) -> Any:
    return _runner_call if name == "yoi:runner/host@1.0.0#call" else None


def _public_call(op: str) -> Callable[..., str]:
    def call(state: GuestState, *args: Any) -> str:
        return _ask(state, op, msgspec.json.encode(args).decode())

    return call


_PUBLIC: dict[str, Callable[..., str]] = {
    "yoi:host/log@1.0.0#log": _log,
    **{
        f"yoi:host/{interface}@1.0.0#{function}": _public_call(f"{interface}.{function}")
        for interface, function in (
            ("request", "request"),
            ("websocket", "open"),
            ("websocket", "send-text"),
            ("websocket", "send-binary"),
            ("websocket", "recv"),
            ("websocket", "close"),
            ("websocket", "status"),
            ("state", "get"),
            ("state", "set"),
        )
    },
}


def _public_import(name: str) -> Any:
    return _PUBLIC.get(name)
