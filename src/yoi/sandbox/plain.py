"""The plain binding: wasmtime-py's public classes, whatever its version."""

from collections.abc import Callable
from typing import Any

from wasmtime import Store, WasmtimeError
from wasmtime.component import Func, LinkerInstance, ResourceAny, ResourceHost

from yoi.sandbox.binding import (
    AnswerTooLarge,
    CallFailed,
    Handler,
    HostResource,
    StringCall,
    run_handler,
    too_long,
)
from yoi.sandbox.state import GuestState, current


class _CachedFunc(Func):
    """A Func that reflects its type once: wasmtime-py asks anew on each call (7-12 µs)."""

    def __init__(self, func: Func, store: Store) -> None:
        self._func = func._func
        reflected = func.type(store)
        self._keep = reflected
        self._type = _Type(reflected.params, reflected.result)

    def type(self, store: Any) -> Any:
        return self._type


class _Type:
    def __init__(self, params: Any, result: Any) -> None:
        self.params = params
        self.result = result


class PlainBinding:
    """See `yoi.sandbox.binding.Binding`."""

    def string_call(
        self, store: Store, func: Func, params: int, max_answer_bytes: int
    ) -> StringCall:
        """See `Binding.string_call`."""
        cached = _CachedFunc(func, store)

        def call(*args: str) -> str:
            if len(args) != params:
                raise TypeError(f"{params} arguments expected")
            try:
                answer: str = cached(store, *args)
            except WasmtimeError as exc:
                raise CallFailed(str(exc)) from None
            # A character has at most four bytes: most answers need no second look.
            if 4 * len(answer) > max_answer_bytes:
                size = len(answer.encode())
                if size > max_answer_bytes:
                    raise AnswerTooLarge(size)
            return answer

        return call

    def deadline_setter(self, store: Store) -> Callable[[int], None]:
        """See `Binding.deadline_setter`."""
        return store.set_epoch_deadline

    def on_deadline(self, store: Store, extend: Callable[[], int]) -> Any:
        """See `Binding.on_deadline`: wasmtime-py has no public way."""
        return None

    def add_import(self, linker: LinkerInstance, name: str, result: Any, handler: Handler) -> Any:
        """See `Binding.add_import`."""

        def call(store: Any, *args: Any) -> Any:
            state = current.state
            try:
                value = run_handler(state, handler, [_plain(store, arg, state) for arg in args])
                if isinstance(value, HostResource):
                    return ResourceHost.own(value.rep, value.type_id)
                return value
            except BaseException as exc:
                # Only a WasmtimeError may leave: wasmtime-py keeps others in one process global,
                # where they reach the wrong thread, and a BaseException kills the process.
                if state is not None and state.failure is None:
                    state.failure = exc
                raise WasmtimeError("host function failed") from None

        linker.add_func(name, call)
        return None


def _plain(store: Any, value: Any, state: GuestState | None) -> Any:
    """Return `value` with each resource replaced by its number; a borrow must be consumed."""
    if isinstance(value, ResourceAny):
        return value.to_host(store).rep
    if isinstance(value, list):
        return [_plain(store, item, state) for item in value]
    if isinstance(value, str) and state is not None:
        most = state.limits.host_call_bytes
        if len(value) > most or (4 * len(value) > most and len(value.encode()) > most):
            raise too_long(len(value), most)
    return value
