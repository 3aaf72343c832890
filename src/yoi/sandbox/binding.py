"""How host and guest call each other: two bindings with one interface.

`direct` speaks to wasmtime's C API through ctypes with reused argument buffers; it depends on the
layout of one wasmtime version and is used only after `direct.fits()` says so. `plain` uses nothing
but wasmtime-py's public classes. Both are tested; `bindings.choose()` takes the faster that fits.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from wasmtime import Store
from wasmtime.component import Func, LinkerInstance

from yoi.sandbox.state import GuestState, Stop

Handler = Callable[..., Any]
"""An import's work: `handler(state, *args)`. Resources arrive as their numbers, values no handler
needs as None. It may raise anything: that ends the guest's turn with a trap."""


class CallFailed(Exception):
    """A guest call ended in a wasmtime error, whose message this carries."""


class AnswerTooLarge(Exception):
    """The guest's string is longer than the bound; the instance is unharmed."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


class StringCall(Protocol):
    """A guest export that takes strings and returns one."""

    def __call__(self, *args: str) -> str:
        """Call the guest. Raises CallFailed (drop the Store) or AnswerTooLarge."""
        ...


class Binding(Protocol):
    """One way of crossing the boundary."""

    def string_call(
        self, store: Store, func: Func, params: int, max_answer_bytes: int
    ) -> StringCall:
        """Return `func`, an export of `params` strings that returns a string, ready to call."""
        ...

    def deadline_setter(self, store: Store) -> Callable[[int], None]:
        """Return the function that sets the Store's deadline in ticks from now."""
        ...

    def on_deadline(self, store: Store, extend: Callable[[], int]) -> Any:
        """Have `extend()` called on the guest's thread each time the Store's deadline comes.

        It returns by how many ticks the guest may go on; 0 ends the turn with a trap. Returns what
        must live as long as the Store, or None where the binding has no such call: then the first
        deadline ends the turn.
        """
        ...

    def add_import(self, linker: LinkerInstance, name: str, result: Any, handler: Handler) -> Any:
        """Define the import `name`, whose result has the wasmtime type `result` (or None).

        Returns what must live as long as any guest of the linker.
        """
        ...


class HostResource:
    """A handler's answer: hand the guest the host resource `rep` of the linker's type `type_id`."""

    __slots__ = ("rep", "type_id")

    def __init__(self, rep: int, type_id: int) -> None:
        self.rep = rep
        self.type_id = type_id


@dataclass(slots=True)
class Datetime:
    """A handler's answer: the WASI record of a wall-clock time."""

    seconds: int
    nanoseconds: int


def too_long(size: int, most: int) -> Stop:
    """Return the end of a turn in which the guest passed a text of `size` bytes to an import."""
    return Stop("sandbox.host_calls", f"a host call was given {size} bytes; the bound is {most}")


def run_handler(state: GuestState | None, handler: Handler, args: Sequence[Any]) -> Any:
    """Call `handler` for the guest `state`, counting the call."""
    if state is None:
        raise RuntimeError("an import ran outside a guest call")
    state.count_call()
    return handler(state, *args)
