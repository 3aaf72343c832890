"""A guest: what the runtime sees of an instance, a plugin in the runner or any component.

Blocking, and only on worker threads. Every failure is a GuestTrapped (the Store is gone) or a
GuestRefused (the guest is alive; its answer is not accepted).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from yoi.display import printable
from yoi.errors import GuestRefused
from yoi.limits import Limits
from yoi.protocol import answers, guest_room, lean
from yoi.protocol.ingress import QueuedEvent
from yoi.protocol.outcomes import AnswerRefused, Outcome
from yoi.sandbox.binding import StringCall
from yoi.sandbox.instance import Instance, not_unicode
from yoi.sandbox.output import LogLine
from yoi.sandbox.package_files import PackageFiles
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
            raise not_unicode() from None
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
            raise not_unicode() from None
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
