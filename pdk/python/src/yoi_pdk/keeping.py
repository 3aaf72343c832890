"""Commands for what the host keeps for a plugin: timers, and a little durable state."""

import json
from typing import Any, ClassVar

from yoi_pdk.host_command import HostCommand, id_of, name_of, whole
from yoi_pdk.limits import STATE_VALUE_BYTES, TIMER_MAX_MS, TIMER_MIN_MS


class TimerSet(HostCommand):
    """Deliver a `TimerEvent` after `after_ms`. Setting a name again replaces its timer."""

    __slots__ = ("after_ms", "name")

    kind: ClassVar[str] = "timer_set"

    def __init__(self, name: str, after_ms: int, *, id: str | None = None) -> None:
        self.name = name_of("name", name)
        self.after_ms = whole("after_ms", after_ms, TIMER_MIN_MS, TIMER_MAX_MS)
        self.id = id_of(id)


class TimerClear(HostCommand):
    """Forget the timer `name`."""

    __slots__ = ("name",)

    kind: ClassVar[str] = "timer_clear"

    def __init__(self, name: str, *, id: str | None = None) -> None:
        self.name = name_of("name", name)
        self.id = id_of(id)


class StateSet(HostCommand):
    """Keep the JSON `value` under `key` across restarts; None removes it.

    Read it with `ctx.state.get(key)`. It is written when the answer is carried out: not at all when
    the handler raises.
    """

    __slots__ = ("key", "value")

    kind: ClassVar[str] = "state_set"

    def __init__(self, key: str, value: Any, *, id: str | None = None) -> None:
        self.key = name_of("key", key)
        size = len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
        if size > STATE_VALUE_BYTES:
            raise ValueError(f"value has {size} bytes as JSON; the bound is {STATE_VALUE_BYTES}")
        self.value = value
        self.id = id_of(id)

    def payload(self) -> dict[str, Any]:
        """Return the payload as the host reads it; a null removes the key."""
        return {"key": self.key, "value": self.value}

    def __repr__(self) -> str:
        """Return the call that makes this command."""
        shown = "" if self.id is None else f", id={self.id!r}"
        return f"StateSet({self.key!r}, {self.value!r}{shown})"
