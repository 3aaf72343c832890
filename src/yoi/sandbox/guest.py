"""A guest: one Store with one instance, behind one lock, with one budget per turn.

Blocking, and only on worker threads. Every failure is a GuestTrapped (the Store is gone) or a
GuestRefused (the guest is alive; its answer is not accepted).
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec
from wasmtime import Engine, Store, WasmtimeError

from yoi.display import printable
from yoi.errors import GuestRefused, GuestTrapped, SandboxError
from yoi.limits import MIB, Limits
from yoi.protocol import answers, guest_room, lean
from yoi.protocol.depth import more_values_than
from yoi.protocol.ingress import QueuedEvent
from yoi.protocol.outcomes import AnswerRefused, Outcome
from yoi.sandbox.binding import AnswerTooLarge, Binding, CallFailed, StringCall
from yoi.sandbox.linking import Linked
from yoi.sandbox.output import LogLine
from yoi.sandbox.package_files import PackageFiles
from yoi.sandbox.state import GuestState, current
from yoi.sandbox.threads import require_guest_thread
from yoi.sandbox.ticker import EpochTicker
from yoi.sandbox.traps import trapped
from yoi.types import Clock, SystemClock, rfc3339


class Guest(Protocol):
    """What the runtime sees, whichever world the plugin speaks. Budgets are milliseconds."""

    @property
    def alive(self) -> bool:
        """Return whether the instance can still be called."""
        ...

    def start(self, config_json: str, budget_ms: int) -> dict[str, Any]:
        """Initialise the plugin and return its status. GuestRefused: `sandbox.start`."""
        ...

    def dispatch(self, events: Sequence[QueuedEvent], budget_ms: int) -> list[Outcome]:
        """Return the outcomes of a prefix of `events`, at least one.

        `budget_ms` is the deadline of one event; a batch gets the slice on top, once. When this
        raises, no event of `events` has an outcome.
        """
        ...

    def call_tool(self, name: str, input_json: str, budget_ms: int, call_id: str = "") -> str:
        """Return the tool's output as JSON. GuestRefused: `sandbox.exception`.

        `call_id` names the call to a plugin of Python source; a component's world has no place.
        """
        ...

    def status(self, budget_ms: int) -> dict[str, Any]:
        """Return the plugin's own status."""
        ...

    def stop(self, budget_ms: int) -> dict[str, Any]:
        """Let the plugin end its work and return its last status. The instance stays alive."""
        ...

    def take_output(self) -> list[LogLine]:
        """Return what the guest printed and logged since the last call, bounded."""
        ...

    def close(self) -> None:
        """Drop the Store, at once or as soon as the running call ends."""
        ...


class Instance:
    """A Store, its instance and its lock. Every guest instruction runs inside `turn`."""

    def __init__(
        self,
        engine: Engine,
        ticker: EpochTicker,
        binding: Binding,
        limits: Limits,
        state: GuestState,
        name: str,
        memory_bytes: int,
        message_bytes: int,
    ) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._running: int | None = None
        self._closing = False
        self._ticker = ticker
        self._binding = binding
        self._limits = limits
        self._memory_bytes = memory_bytes
        self._answer_bytes = limits.answer_bytes
        if message_bytes > limits.message_bytes:
            # A byte of binary data is a character, of one or two bytes.
            self._answer_bytes += 2 * message_bytes
        self.state = state
        store = Store(engine)
        store.set_limits(
            memory_size=memory_bytes,
            table_elements=limits.guest_tables,
            instances=limits.guest_instances,
            tables=limits.guest_table_count,
            memories=limits.guest_memories,
        )
        self._store: Store | None = store
        self._linked: Linked | None = None
        self._set_ticks = binding.deadline_setter(store)
        self._keep_deadline = binding.on_deadline(store, self._extend)

    @property
    def alive(self) -> bool:
        """Return whether the Store is still there."""
        return self._store is not None and not self._closing

    def instantiate(
        self, linked: Linked, exports: Mapping[str, int], budget_ms: int
    ) -> dict[str, StringCall]:
        """Make the instance and return its `exports` (name -> number of string parameters).

        Start functions are guest code too: they run inside the budget. Raises GuestTrapped, or
        SandboxError (`sandbox.world`) when an export is missing or has another type.
        """

        self._linked = linked

        def make() -> dict[str, StringCall]:
            store = self._require_store()
            try:
                instance = linked.linker.instantiate(store, linked.component)
            except WasmtimeError as exc:
                raise CallFailed(str(exc)) from None
            calls: dict[str, StringCall] = {}
            for name, params in exports.items():
                func = instance.get_func(store, name)
                if func is None:
                    raise SandboxError("sandbox.world", f"the component does not export {name}")
                ty = func.type(store)
                kinds = [type(param).__name__ for _, param in ty.params]
                if kinds != ["String"] * params or type(ty.result).__name__ != "String":
                    raise SandboxError(
                        "sandbox.world", f"the export {name} does not have the world's type"
                    )
                calls[name] = self._binding.string_call(store, func, params, self._answer_bytes)
            return calls

        try:
            made: dict[str, StringCall] = self._turn(budget_ms, make)
            return made
        except SandboxError:
            self.close()
            raise

    def call(self, function: StringCall, budget_ms: int, *args: str) -> str:
        """Call an export. Raises GuestTrapped, or GuestRefused for an answer over the bound."""
        answer: str = self._turn(budget_ms, function, *args)
        return answer

    def require_few_values(self, answer: str) -> None:
        """Discard the instance when the JSON in its `answer` has more values than the bound.

        Decoding them would hold the interpreter, and with it every other plugin. Raises
        GuestTrapped (`sandbox.answer_too_large`), which counts as a failure of the instance.
        """
        most = self._limits.json_values
        if more_values_than(most, answer):
            self.close()
            raise GuestTrapped(
                "sandbox.answer_too_large",
                f"the answer of {self._name} has more than {most} JSON values",
                hint="send a large document as text, or in several messages",
            )

    def require_memory(self, needed: int, size: int) -> None:
        """Refuse an event of `size` bytes that `needed` bytes of memory could not hold.

        Raises GuestRefused (`sandbox.memory`) before the guest sees it: the guest would die of it,
        or fail in whatever it does next.
        """
        if needed <= self._memory_bytes:
            return
        given = f"{self._name} has {self._memory_bytes // MIB} MiB"
        if needed > self._limits.guest_memory_max_bytes:
            hint = "no plugin may have so much: ask the server for smaller messages"
        else:
            hint = (
                f"ask for more: memory_bytes = {guest_room.enough(needed)} under [runtime] in "
                "plugin.toml, then enable the plugin again"
            )
        raise GuestRefused(
            "sandbox.memory",
            f"an event of {size} bytes needs more than {needed // MIB} MiB of memory; {given}",
            hint=hint,
        )

    def close(self) -> None:
        """Drop the Store now, or when the running call returns."""
        self._closing = True
        if self._running == threading.get_ident():
            return
        if self._lock.acquire(blocking=False):
            try:
                self._drop()
            finally:
                self._lock.release()

    def _turn(self, budget_ms: int, function: Callable[..., Any], *args: str) -> Any:
        require_guest_thread()
        me = threading.get_ident()
        if self._running == me:
            raise RuntimeError("a guest cannot be called from inside its own host call")
        if not self._lock.acquire(blocking=False) and not self._lock.acquire(
            timeout=budget_ms / 1000
        ):
            raise GuestRefused("sandbox.deadline", f"another call of {self._name} is still running")
        self._running = me
        before, state = current.state, self.state
        try:
            if self._closing:
                self._drop()
            self._require_store()
            budget = budget_ms / 1000
            state.begin(budget)
            current.state = state
            self._ticker.arm(state, time.monotonic() + budget, self._set_ticks)
            try:
                return function(*args)
            finally:
                self._ticker.disarm(state)
                current.state = before
        except AnswerTooLarge as exc:
            raise GuestRefused(
                "sandbox.answer_too_large",
                f"the answer has {exc.size} bytes; the bound is {self._answer_bytes}",
            ) from None
        except UnicodeEncodeError:
            raise _not_unicode() from None
        except CallFailed as exc:
            failure, state.failure = state.failure, None
            self._drop()
            raise trapped(str(exc), failure) from failure
        finally:
            if self._closing:
                self._drop()
            self._running = None
            self._lock.release()
            if self._closing and self._store is not None:
                self.close()  # it was asked for between the last look and the release

    def _extend(self) -> int:
        """Return the ticks until the turn's budget can be used up; 0 where it is."""
        left = self.state.remaining()
        return self._ticker.ticks_until(time.monotonic() + left) if left > 0 else 0

    def _require_store(self) -> Store:
        if self._store is None:
            raise GuestTrapped("sandbox.gone", f"the instance of {self._name} has been discarded")
        return self._store

    def _drop(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            store.close()


def _not_unicode() -> GuestRefused:
    return GuestRefused("service.invalid_event", "the text for the guest has lone surrogates")


class _Failure(msgspec.Struct):
    type: str = "error"
    message: str = ""
    trace: str = ""


class _RunnerAnswer(msgspec.Struct):
    ok: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: _Failure | None = None


_decode_runner = msgspec.json.Decoder(_RunnerAnswer).decode
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode


class PythonGuest:
    """A plugin of Python source inside Yoi's runner (wit/runner). See `Guest`."""

    EXPORTS = {
        "load": 1,
        "start": 1,
        "dispatch": 1,
        "handle-tool": 1,
        "status": 0,
        "stop": 0,
    }

    def __init__(
        self,
        instance: Instance,
        calls: Mapping[str, StringCall],
        limits: Limits,
        clock: Clock | None = None,
    ) -> None:
        self._instance = instance
        self._calls = calls
        self._dispatch = calls["dispatch"]
        self._limits = limits
        self._clock = clock or SystemClock()

    @property
    def alive(self) -> bool:
        """Return whether the instance can still be called."""
        return self._instance.alive

    def load(self, files: PackageFiles, entry: str, name: str, budget_ms: int) -> None:
        """Have the runner import `entry` from `files`. GuestRefused: `sandbox.load`."""
        source = {
            "files": files.own,
            "libraries": files.libraries,
            "entry": entry,
            "name": name,
        }
        self._ask("load", "sandbox.load", budget_ms, msgspec.json.encode(source).decode())

    def start(self, config_json: str, budget_ms: int) -> dict[str, Any]:
        """See `Guest.start`."""
        return _status(self._ask("start", "sandbox.start", budget_ms, config_json))

    def dispatch(self, events: Sequence[QueuedEvent], budget_ms: int) -> list[Outcome]:
        """See `Guest.dispatch`."""
        slice_ms = self._limits.batch_slice_ms
        if len(events) > 1:
            budget_ms += slice_ms
        for event in events:
            size = event.size
            if size > guest_room.LOOKED_AT:
                self._instance.require_memory(guest_room.needed_in_python(event), size)
        try:
            batch = lean.encode_batch(events, slice_ms)
        except UnicodeEncodeError:
            raise _not_unicode() from None
        answer = self._instance.call(self._dispatch, budget_ms, batch)
        head = lean.head_of(answer)
        if len(head) > self._limits.answer_bytes:
            raise GuestRefused(
                "sandbox.answer_too_large",
                f"the commands have {len(head)} characters of JSON; "
                f"the bound is {self._limits.answer_bytes}",
            )
        self._instance.require_few_values(head)
        return lean.decode_answer(answer, events, rfc3339(self._clock.wall()))

    def call_tool(self, name: str, input_json: str, budget_ms: int, call_id: str = "") -> str:
        """See `Guest.call_tool`."""
        call = msgspec.json.encode(
            {"name": name, "input": msgspec.Raw(input_json.encode()), "id": call_id}
        )
        return self._ask("handle-tool", "sandbox.exception", budget_ms, call.decode()).decode()

    def status(self, budget_ms: int) -> dict[str, Any]:
        """See `Guest.status`."""
        return _status(self._ask("status", "sandbox.exception", budget_ms))

    def stop(self, budget_ms: int) -> dict[str, Any]:
        """See `Guest.stop`."""
        return _status(self._ask("stop", "sandbox.exception", budget_ms))

    def take_output(self) -> list[LogLine]:
        """See `Guest.take_output`."""
        return self._instance.state.output.take()

    def close(self) -> None:
        """See `Guest.close`."""
        self._instance.close()

    def _ask(self, export: str, code: str, budget_ms: int, *args: str) -> bytes:
        text = self._instance.call(self._calls[export], budget_ms, *args)
        self._instance.require_few_values(text)
        try:
            answer = _decode_runner(text)
        except (msgspec.DecodeError, RecursionError) as exc:
            raise GuestRefused(
                "sandbox.answer_malformed", f"{export} answered something else: {exc}"
            ) from None
        if answer.error is not None:
            error = answer.error
            raise GuestRefused(
                "sandbox.memory" if error.type == "MemoryError" else code,
                f"{error.type}: {error.message}",
                type=printable(error.type, self._limits.name_bytes),
                trace=lean.shown_trace(error.trace),
            )
        if isinstance(answer.ok, msgspec.UnsetType):
            raise GuestRefused(
                "sandbox.answer_malformed", f"{export} answered neither ok nor error"
            )
        return bytes(answer.ok)


def _status(raw: bytes) -> dict[str, Any]:
    try:
        return _decode_object(raw)
    except (msgspec.DecodeError, RecursionError):
        raise GuestRefused("sandbox.answer_malformed", "the status is not an object") from None


class ComponentGuest:
    """A component of the public world yoi:plugin/instance@1.0.0. See `Guest`."""

    EXPORTS = {"start": 1, "handle-tool": 2, "handle-ingress": 2, "status": 0, "stop": 0}

    def __init__(self, instance: Instance, calls: Mapping[str, StringCall], limits: Limits) -> None:
        self._instance = instance
        self._calls = calls
        self._limits = limits

    @property
    def alive(self) -> bool:
        """Return whether the instance can still be called."""
        return self._instance.alive

    def start(self, config_json: str, budget_ms: int) -> dict[str, Any]:
        """See `Guest.start`."""
        return answers.decode_lifecycle(self._ask("start", budget_ms, config_json))

    def dispatch(self, events: Sequence[QueuedEvent], budget_ms: int) -> list[Outcome]:
        """See `Guest.dispatch`: this world takes one event at a time."""
        event = events[0]
        try:
            text = answers.encode_event(event)
            self._instance.require_memory(guest_room.in_component(len(text)), len(text))
            answer = self._ask("handle-ingress", budget_ms, event.ingress, text)
        except UnicodeEncodeError:
            raise _not_unicode() from None
        except GuestRefused as exc:
            return [AnswerRefused(exc.code, exc.message)]
        return [answers.decode_ingress(answer, event)]

    def call_tool(self, name: str, input_json: str, budget_ms: int, call_id: str = "") -> str:
        """See `Guest.call_tool`."""
        return self._ask("handle-tool", budget_ms, name, input_json)

    def status(self, budget_ms: int) -> dict[str, Any]:
        """See `Guest.status`."""
        return answers.decode_lifecycle(self._ask("status", budget_ms))

    def stop(self, budget_ms: int) -> dict[str, Any]:
        """See `Guest.stop`."""
        return answers.decode_lifecycle(self._ask("stop", budget_ms))

    def take_output(self) -> list[LogLine]:
        """See `Guest.take_output`."""
        return self._instance.state.output.take()

    def close(self) -> None:
        """See `Guest.close`."""
        self._instance.close()

    def _ask(self, export: str, budget_ms: int, *args: str) -> str:
        answer = self._instance.call(self._calls[export], budget_ms, *args)
        self._instance.require_few_values(answer)
        return answer
