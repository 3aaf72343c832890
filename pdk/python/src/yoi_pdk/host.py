"""Asking the host while a handler runs: durable state, and how a refusal looks."""

import json
from collections.abc import Callable
from typing import Any

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

    `StateSet` in an answer is the better way to write: it is kept together with its event, while
    what `set` wrote stays written even when the handler fails afterwards.
    """

    __slots__ = ("_call",)

    def __init__(self, call: HostCall) -> None:
        self._call = call

    def get(self, key: str, default: Any = None) -> Any:
        """Return what was kept under `key`, or `default` when there is nothing."""
        text = ask(self._call, "state.get", key)["value"]
        return default if text is None else json.loads(text)

    __call__ = get

    def set(self, key: str, value: Any) -> None:
        """Keep the JSON `value` under `key` at once; None removes it. Raises HostError."""
        ask(self._call, "state.set", key, json.dumps(value, ensure_ascii=False, allow_nan=False))
