"""What needs a person, as conditions of a status: each alert opens once and closes once.

conditions(status) ──▶ AlertBook.update ──▶ opened, closed
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from yoi.core.halts import Halt
from yoi.errors import YoiError
from yoi.limits import LIMITS, Limits
from yoi.protocol.status import Alert, ConnectionStatus, ServiceStatus


class AlertKind(StrEnum):
    """What alerts are about; the values are their public names."""

    QUARANTINED = "quarantined"
    JOURNAL = "journal"
    REFUSED = "version_refused"
    DEAD_LETTERS = "dead_letters"
    EFFECTS_UNKNOWN = "effects_unknown"
    ENDED = "connection_ended"
    BUDGET = "dials_stretched"
    PAUSED_OUT = "paused_out"
    DEAF = "deaf"
    DISK = "disk_nearly_full"
    TRUST = "trust_unusable"
    MACHINE = "host_settings_unusable"
    MCP = "mcp_server"


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that stands now.

    `scope` is `service:NAME`, `connection:SERVICE/NAME`, `mcp:NAME` or `host`.
    """

    kind: AlertKind
    scope: str
    message: str
    hint: str | None = None


def conditions(
    status: ServiceStatus,
    expected_ms: Mapping[str, int],
    now_ms: int,
    limits: Limits = LIMITS,
) -> list[Condition]:
    """Return what of a service needs a person now.

    `expected_ms` has, by connection, how long silence may last where its manifest says so.
    """
    name = status.name
    found: list[Condition] = []

    def add(kind: AlertKind, message: str, hint: str | None = None) -> None:
        found.append(Condition(kind, f"service:{name}", message, hint))

    if status.lifecycle == "quarantined":
        why = status.last_error or "it failed too often"
        add(AlertKind.QUARANTINED, f"{name} is quarantined: {why}", f"yoi service restart {name}")
    # It is tried again now and then; only when it runs it is over.
    not_running = status.lifecycle in ("failed", "starting")
    if not_running and _is_of_journal(status.last_error_code or ""):
        add(AlertKind.JOURNAL, f"{name} accepts nothing: {status.last_error}", "yoi doctor")
    refused = status.refused_version
    if refused is not None:
        words = f"{name} {refused.version} is enabled, {status.version} runs: {refused.message}"
        add(AlertKind.REFUSED, words, f"yoi service restart {name}")
    if status.dead_letters:
        hint = f"yoi service dead-letters {name}"
        add(AlertKind.DEAD_LETTERS, f"{name} has {_many(status.dead_letters, 'dead letter')}", hint)
    unknown = [
        one
        for one in status.commands
        if one.status == "unknown" and now_ms - _ms(one.at) < limits.alert_unknown_ms
    ]
    if unknown:
        words = f"{name}: it is not known whether {_many(len(unknown), 'command')} took effect"
        add(AlertKind.EFFECTS_UNKNOWN, words, f"yoi service status {name}")
    for connection in status.connections:
        found += _of_connection(name, connection, expected_ms.get(connection.name), now_ms, limits)
    return found


def disk(free_bytes: int, limits: Limits = LIMITS) -> list[Condition]:
    """Return the condition that the disk that holds the journal is nearly full, if it is."""
    if free_bytes >= limits.disk_free_bytes:
        return []
    words = f"the journal's disk has {free_bytes >> 20} MiB left"
    return [Condition(AlertKind.DISK, "host", words, "free some space: nothing is lost meanwhile")]


def untrusted(error: YoiError | None) -> list[Condition]:
    """Return the condition that yoi.toml or the decisions cannot be read, because of `error`."""
    if error is None:
        return []
    return [Condition(AlertKind.TRUST, "host", f"{error.code}: {error.message}", error.hint)]


def machine_unusable(error: YoiError | None) -> list[Condition]:
    """Return the condition that host.toml cannot be used any more, for the reason `error`."""
    if error is None:
        return []
    words = f"what host.toml said before stays in force: {error.message}"
    return [Condition(AlertKind.MACHINE, "host", words, error.hint or "yoi doctor")]


def _of_connection(
    service: str,
    connection: ConnectionStatus,
    expected_ms: int | None,
    now_ms: int,
    limits: Limits,
) -> Iterable[Condition]:
    scope, name = f"connection:{service}/{connection.name}", f"{connection.name} of {service}"
    if connection.halt is not None:
        hint = f"yoi service reconnect {service} {connection.name}"
        if connection.halt == Halt.DENIED:
            # Dialled again it is denied again: its status says which grant it lacks.
            hint = f"yoi service status {service}"
        yield Condition(
            AlertKind.ENDED, scope, f"{name} is not dialled again: {connection.halt}", hint
        )
    if connection.last_error_code == "connection.budget" and connection.state != "open":
        yield Condition(AlertKind.BUDGET, scope, f"{name} was dialled too often and waits longer")
    if connection.last_error_code == "connection.overflow" and (
        connection.state != "open"
        or now_ms - _ms(connection.last_error_at or "1970-01-01") < limits.alert_paused_out_ms
    ):
        words = f"{name} was closed because the plugin did not keep up"
        yield Condition(AlertKind.PAUSED_OUT, scope, words, f"yoi service status {service}")
    if expected_ms is not None and connection.state == "open" and not connection.reading_paused:
        moments = [
            _ms(at)
            for at in (connection.last_news_at, connection.connected_since)
            if at is not None
        ]
        if moments and now_ms - max(moments) > expected_ms:
            silent_s = (now_ms - max(moments)) // 1000
            yield Condition(
                AlertKind.DEAF, scope, f"{name} is open and has been silent for {silent_s} s"
            )


def _is_of_journal(code: str) -> bool:
    """Return whether `code` says that a log, or the state that belongs to it, takes nothing."""
    return code.startswith("journal.") or code == "service.state_full"


class AlertBook:
    """The alerts that are open."""

    def __init__(self) -> None:
        self._open: dict[tuple[AlertKind, str], Alert] = {}

    @property
    def open(self) -> list[Alert]:
        """Return them, oldest first."""
        return list(self._open.values())

    def of_service(self, name: str) -> list[Alert]:
        """Return those about the service `name` or a connection of it."""
        own, parts = f"service:{name}", f"connection:{name}/"
        return [one for one in self.open if one.scope == own or one.scope.startswith(parts)]

    def update(self, found: Iterable[Condition], at: str) -> tuple[list[Alert], list[Alert]]:
        """Let exactly `found` stand; return what opened and what closed by that."""
        now = {(one.kind, one.scope): one for one in found}
        closed = [self._open.pop(key) for key in tuple(self._open) if key not in now]
        opened = []
        for key, one in now.items():
            known = self._open.get(key)
            since = at if known is None else known.since
            alert = Alert(one.kind, one.scope, one.message, since, one.hint)
            self._open[key] = alert
            if known is None:
                opened.append(alert)
        return opened, closed


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _ms(at: str) -> int:
    return round(datetime.fromisoformat(at).timestamp() * 1000)
