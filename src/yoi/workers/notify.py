"""notify: how a message from outside reaches a worker, and the only way it can (T3).

    a plugin's command ─▶ granted? ─▶ redact, bound ─▶ within the rate? ─▶ system item ─▶ run

Each refusal is an answer to the plugin's command and an alert on the worker; nothing of a refused
text is kept. The runtime calls `Notifications.notify` once the command gate lets a command pass.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from yoi.core.token_bucket import TokenBucket
from yoi.errors import PermissionDenied, WorkerError
from yoi.limits import LIMITS, Limits
from yoi.protocol.events import Provenance
from yoi.types import Clock
from yoi.workers import items as it
from yoi.workers.rules import NotifyRule
from yoi.workers.same import Facts
from yoi.workers.text import clipped
from yoi.workers.worker import Worker


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """What a plugin asks: tell `worker` this, about that event. `plugin` is the service's name."""

    worker: str
    text: str
    plugin: str
    plugin_id: str
    digest: str
    ingress: str
    event_id: str
    command_id: str
    sender: str = ""
    frame: str = ""
    """The text of the event; what tools with `same` compare is read from it."""


@dataclass(slots=True)
class _Recipient:
    worker: Worker
    rules: Mapping[str, NotifyRule]
    facts: Facts


@dataclass(frozen=True, slots=True)
class Notified:
    """The system item's place, and whether it is new: a repeated command commits nothing."""

    seq: int
    new: bool


class Redactor(Protocol):
    """Removes what must not enter a history, such as secrets granted to the plugin."""

    def redact(self, plugin: str, text: str) -> str:
        """Return `text` with each secret replaced by its placeholder."""
        ...


class Notifier(Protocol):
    """What the runtime calls for a `notify` command."""

    async def notify(self, notification: Notification) -> Notified:
        """Commit the notification. Raises PermissionDenied, WorkerError or JournalError."""
        ...


@dataclass(slots=True)
class _Rate:
    bucket: TokenBucket
    told_at: float | None = None


class Notifications:
    """The notifications of one host: checks each against the workers' rules and commits it."""

    def __init__(self, redactor: Redactor, clock: Clock, limits: Limits = LIMITS) -> None:
        self._redactor = redactor
        self._clock = clock
        self._limits = limits
        self._recipients: dict[str, _Recipient] = {}
        self._rates: dict[tuple[str, str], _Rate] = {}

    def open(
        self, worker: Worker, rules: Mapping[str, NotifyRule], compared: Iterable[str] = ()
    ) -> None:
        """Let the plugins in `rules` notify `worker`; `compared` is read in the events."""
        facts = Facts(compared, self._limits)
        self._recipients[worker.name] = _Recipient(worker, rules, facts)

    def close(self, worker: str) -> None:
        """Let no plugin notify `worker` any more."""
        self._recipients.pop(worker, None)
        for key in [key for key in self._rates if key[0] == worker]:
            del self._rates[key]

    async def notify(self, notification: Notification) -> Notified:
        """Commit `notification` as a system item of its worker.

        Raises PermissionDenied `denied.not_granted` (also for a worker that does not exist: a
        plugin learns nothing about workers it may not reach), WorkerError (`worker.notify_rate`,
        `worker.input`, `worker.queue_full`, `worker.stopped`) or JournalError.
        """
        plugin = notification.plugin
        recipient, rule = self._granted(notification)
        worker = recipient.worker
        known = worker.remembered(plugin, notification.event_id, notification.command_id)
        if known is not None:
            # Before rate and room: a repeat after a crash is no further message.
            return Notified(known, False)
        redacted = self._redactor.redact(plugin, notification.text)
        text, cut = clipped(redacted, self._limits.notify_text_bytes)
        if not text.strip():
            raise WorkerError("worker.input", "a notification needs text")
        self._spend(worker, rule)
        item = it.SystemItem(
            at_ms=self._clock.wall_ms(),
            text=text,
            provenance=Provenance(
                plugin=plugin,
                plugin_id=notification.plugin_id,
                digest=notification.digest,
                ingress=notification.ingress,
                event_id=notification.event_id,
                command_id=notification.command_id,
                sender=notification.sender,
            ),
            wakes=rule.start_run,
            cut=cut,
            facts=self._facts(recipient, notification),
        )
        try:
            seq, new = await worker.accept(item)
        except WorkerError as exc:
            if exc.code == "worker.queue_full":
                self._tell(worker, plugin, "its notifications wait for the worker, no more fit")
            raise
        return Notified(seq, new)

    def _facts(self, recipient: _Recipient, notification: Notification) -> dict[str, Any]:
        """Return what is compared later; a text that holds a secret is left out."""
        found = recipient.facts.read(notification.frame)
        return {
            at: value
            for at, value in found.items()
            if not isinstance(value, str)
            or self._redactor.redact(notification.plugin, value) == value
        }

    def _granted(self, notification: Notification) -> tuple[_Recipient, NotifyRule]:
        plugin = notification.plugin
        recipient = self._recipients.get(notification.worker)
        rule = None if recipient is None else recipient.rules.get(plugin)
        if recipient is None or rule is None:
            raise PermissionDenied(
                "denied.not_granted",
                f"plugin {plugin} may not notify worker {notification.worker}",
                hint=f'[[workers.notify]] plugin = "{plugin}"   # in that worker\'s profile',
            )
        return recipient, rule

    def _spend(self, worker: Worker, rule: NotifyRule) -> None:
        now = self._clock.monotonic()
        key = (worker.name, rule.plugin)
        rate = self._rates.get(key)
        if rate is None:
            rate = self._rates[key] = _Rate(TokenBucket(rule.per_minute, now, period_s=60.0))
        if not rate.bucket.take(now):
            self._tell(worker, rule.plugin, f"more than {rule.per_minute} notifications a minute")
            raise WorkerError(
                "worker.notify_rate",
                f"plugin {rule.plugin} notifies worker {worker.name} more than "
                f"{rule.per_minute} times a minute",
            )

    def _tell(self, worker: Worker, plugin: str, message: str) -> None:
        """Alert once a minute: a flood of alerts would be one more flood."""
        rate, now = self._rates[(worker.name, plugin)], self._clock.monotonic()
        if rate.told_at is None or now - rate.told_at >= 60:
            rate.told_at = now
            worker.alerts.add("warning", f"notify:{plugin}", f"plugin {plugin}: {message}")
