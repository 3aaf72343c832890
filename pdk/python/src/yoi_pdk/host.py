"""Asking the host while a handler runs: durable state, and how a refusal looks."""

import json
from collections.abc import Callable
from typing import Any

from yoi_pdk.limits import ID_BYTES, STATE_VALUE_BYTES

HostCall = Callable[[str, str], str]
"""`(operation, arguments as a JSON array) -> {"ok": ...} or {"error": ...}`, as JSON."""


class HostError(Exception):
    """The host refused a call, or it failed. Catch it: an uncaught one fails the handler.

    `code` is stable, such as `denied.not_granted` or `connection.timeout`; `hint` says what would
    allow it, for the operator. `retry_after_ms` is set where waiting helps. `may_have_arrived`: a
    request had no answer, but its effect may have happened.
    """

    def __init__(
        self,
        code: str,
        message: str,
        hint: str | None = None,
        *,
        retry_after_ms: int | None = None,
        may_have_arrived: bool = False,
    ) -> None:
        super().__init__(f"{message} [{code}]")
        self.code = code
        self.message = message
        self.hint = hint
        self.retry_after_ms = retry_after_ms
        self.may_have_arrived = may_have_arrived


def no_host(op: str, arguments: str) -> str:
    """Refuse every call: the host of a `Context` that has none."""
    return '{"error": {"code": "denied.unsupported", "message": "there is no host here"}}'


def ask(call: HostCall, op: str, *arguments: Any) -> Any:
    """Return what the host answers; raises HostError when it refuses."""
    answer = json.loads(call(op, json.dumps(arguments)))
    if "ok" in answer:
        return answer["ok"]
    error = answer["error"]
    raise HostError(
        error["code"],
        error["message"],
        error.get("hint"),
        retry_after_ms=error.get("retry_after_ms"),
        may_have_arrived=error.get("may_have_arrived") is True,
    )


class State:
    """The plugin's durable state: small JSON values that survive restarts of plugin and host.

    Use it as a dict: `ctx.state["seen"] = 3`, `ctx.state.get("seen", 0)`. What a handler sets is
    visible to it at once and kept together with its event: nothing of it when the handler raises.
    In `start` it is kept at once. `StateSet` in an answer does the same.
    """

    __slots__ = ("_call", "_settled", "_staged", "staged")

    def __init__(self, call: HostCall) -> None:
        self._call = call
        self._staged: dict[str, Any] | None = None
        self._settled: dict[str, str] = {}
        """What earlier events of the same batch keep: the host hears of it after the batch."""
        self.staged = False
        """Whether the handler that runs has set something."""

    def get(self, key: str, default: Any = None) -> Any:
        """Return what is kept under `key`, or `default` when there is nothing."""
        if self.staged and self._staged is not None and key in self._staged:
            text = self._staged[key]
        elif key in self._settled:
            text = self._settled[key]
        else:
            text = ask(self._call, "state.get", key)["value"]
        return default if text is None or text == "null" else json.loads(text)

    __call__ = get

    def set(self, key: str, value: Any) -> None:
        """Keep the JSON `value` under `key`; None removes it. Raises HostError or ValueError."""
        if not isinstance(key, str) or not 1 <= len(key.encode()) <= ID_BYTES:
            raise ValueError(f"a key must be a str of 1 to {ID_BYTES} bytes")
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        if len(text.encode()) > STATE_VALUE_BYTES:
            raise ValueError(f"value has more than {STATE_VALUE_BYTES} bytes as JSON")
        if self._staged is None:
            ask(self._call, "state.set", key, text)
            return
        self._staged[key] = text
        self.staged = True

    def __getitem__(self, key: str) -> Any:
        """Return what is kept under `key`; raises KeyError when there is nothing."""
        value = self.get(key)
        if value is None:
            raise KeyError(key)
        return value

    def __setitem__(self, key: str, value: Any) -> None:
        """Keep the JSON `value` under `key`."""
        self.set(key, value)

    def __delitem__(self, key: str) -> None:
        """Remove what is kept under `key`."""
        self.set(key, None)

    def __contains__(self, key: str) -> bool:
        """Return whether something is kept under `key`."""
        return self.get(key) is not None

    def stage(self) -> None:
        """Have everything that is set from now on kept with its event. Called by the runner."""
        self._staged = {}

    def settle(self, key: str, value: Any) -> None:
        """Let later events of the batch find `value`. Called by the runner."""
        self._settled[key] = json.dumps(value)

    def begin(self) -> None:
        """A new batch: the host has heard of everything. Called by the runner."""
        if self._settled:
            self._settled = {}

    def take(self) -> list[tuple[str, Any]]:
        """Return what the handler set, as keys and values, and forget it. Called by the runner."""
        found = self._staged or {}
        self._staged, self.staged = {}, False
        return [(key, json.loads(text)) for key, text in found.items()]
