"""One Store with one instance, behind one lock, with one budget for each turn.

Blocking, and only on worker threads. Every failure is a GuestTrapped (the Store is gone) or a
GuestRefused (the guest is alive; its answer is not accepted).
"""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from wasmtime import Engine, Store, WasmtimeError

from yoi.errors import GuestRefused, GuestTrapped, SandboxError
from yoi.limits import MIB, Limits
from yoi.protocol import guest_room
from yoi.protocol.depth import more_values_than
from yoi.sandbox.binding import AnswerTooLarge, Binding, CallFailed, StringCall
from yoi.sandbox.linking import Linked
from yoi.sandbox.state import GuestState, current
from yoi.sandbox.threads import require_guest_thread
from yoi.sandbox.ticker import EpochTicker
from yoi.sandbox.traps import trapped


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
            raise not_unicode() from None
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


def not_unicode() -> GuestRefused:
    """Return the refusal of a text that is no Unicode."""
    return GuestRefused("service.invalid_event", "the text for the guest has lone surrogates")
