"""Pairing: a stranger who says the operator's code in a chat becomes a sender that is heard."""

import asyncio
import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from yoi.core.pairing import Heard, Offer, State, new_code
from yoi.decisions.paired import PairedSender, PairedSenders
from yoi.defects import defect
from yoi.errors import WorkerError
from yoi.limits import Limits
from yoi.permissions.senders import Scalar, SenderRule
from yoi.protocol.events import AlertLevel
from yoi.types import Clock

Tell = Callable[[str, AlertLevel, str], object]
"""Alerts on a worker: its name, the level, the words."""


class PairedStore(Protocol):
    """Keeps who was paired."""

    def of_plugin(self, plugin: str) -> tuple[PairedSender, ...]:
        """Return the senders of `plugin` as of the last read or write, oldest first."""
        ...

    async def reload(self) -> None:
        """Read them again. Raises YoiError."""
        ...

    async def add(self, paired: PairedSender) -> None:
        """Keep `paired`. Raises YoiError."""
        ...

    async def remove(self, plugin: str, sender: str) -> list[PairedSender]:
        """Forget each `sender` of `plugin` that is written so, and return them. Raises YoiError."""
        ...


class KeptHere:
    """A `PairedStore` in a file of this account; the event loop waits for no disk."""

    def __init__(self, senders: PairedSenders) -> None:
        self._senders = senders

    def of_plugin(self, plugin: str) -> tuple[PairedSender, ...]:
        """Return the senders of `plugin` as of the last read or write, oldest first."""
        return self._senders.of_plugin(plugin)

    async def reload(self) -> None:
        """Read them again. Raises TrustError."""
        await asyncio.to_thread(self._senders.reload)

    async def add(self, paired: PairedSender) -> None:
        """Keep `paired`. Raises WorkerError, TrustError."""
        await asyncio.to_thread(self._senders.add, paired)

    async def remove(self, plugin: str, sender: str) -> list[PairedSender]:
        """Forget each `sender` of `plugin` that is written so, and return them. As `add`."""
        return await asyncio.to_thread(self._senders.remove, plugin, sender)


@dataclass(frozen=True, slots=True)
class PluginPairing:
    """What the sender filter of one plugin asks: a `yoi.core.senders.Pairing`."""

    plugin: str
    pairings: "Pairings"

    def paired(self, rule: SenderRule) -> Collection[Scalar]:
        """Return the senders that were let in for `rule`."""
        return self.pairings.senders(self.plugin, rule)

    def said(self, rule: SenderRule, sender: Scalar, text: str) -> None:
        """Take note of what a stranger said where a code may stand."""
        self.pairings.said(self.plugin, rule, sender, text)


class Pairings:
    """The open codes of a host, one a plugin, and what was decided by them. Of the event loop."""

    def __init__(self, store: PairedStore, clock: Clock, limits: Limits, tell: Tell) -> None:
        self._store = store
        self._clock = clock
        self._limits = limits
        self._tell = tell
        self._offers: dict[str, tuple[str, Offer]] = {}
        self._keeping: set[asyncio.Task[None]] = set()

    def of(self, plugin: str) -> PluginPairing:
        """Return what the filter of `plugin` asks."""
        return PluginPairing(plugin, self)

    def offer(self, worker: str, plugin: str) -> str:
        """Return a new code for `plugin`; an earlier one lets nobody in any more."""
        code = new_code(secrets.token_bytes(16))
        until = self._clock.monotonic() + self._limits.pairing_ms / 1000
        self._offers[plugin] = (worker, Offer(code, until, self._limits.pairing_tries))
        return code

    def listed(self, plugin: str) -> tuple[PairedSender, ...]:
        """Return the paired senders of `plugin`."""
        return self._store.of_plugin(plugin)

    def senders(self, plugin: str, rule: SenderRule) -> Collection[Scalar]:
        """Return those that were let in for `rule`."""
        key = rule.key
        return [one.sender for one in self._store.of_plugin(plugin) if one.rule == key]

    async def reload(self) -> None:
        """Read again who was paired: another machine may have written. Raises YoiError."""
        await self._store.reload()

    async def forget(self, plugin: str, sender: str) -> None:
        """Listen to `sender` no more. Raises WorkerError `worker.pairing` where there is none."""
        if not await self._store.remove(plugin, sender):
            raise WorkerError("worker.pairing", f"{plugin} has no paired sender {sender!r}")

    def said(self, plugin: str, rule: SenderRule, sender: Scalar, text: str) -> None:
        """Let `sender` in where `text` holds the open code of `plugin`."""
        worker, offer = self._offers.get(plugin, ("", None))
        if offer is None:
            return
        heard = offer.hear(text, self._clock.monotonic())
        if heard is Heard.RIGHT:
            del self._offers[plugin]
            paired = PairedSender(
                plugin=plugin,
                rule=rule.key,
                sender=sender,
                worker=worker,
                at_ms=self._clock.wall_ms(),
            )
            task = asyncio.get_running_loop().create_task(self._keep(paired))
            # The loop knows its tasks only weakly.
            self._keeping.add(task)
            task.add_done_callback(self._keeping.discard)
        elif offer.state is State.EXHAUSTED:
            del self._offers[plugin]
            words = f"too many wrong pairing codes came through {plugin}; the code is void"
            self._tell(worker, "warning", words)

    async def close(self) -> None:
        """Wait until what was decided is kept."""
        await asyncio.gather(*self._keeping, return_exceptions=True)

    async def _keep(self, paired: PairedSender) -> None:
        try:
            await self._store.add(paired)
        except Exception as exc:
            error = defect(exc, "keeping a paired sender", str(exc))
            words = f"the pairing code was said, and nothing came of it: {error}"
            self._tell(paired.worker, "error", words)
            return
        words = f"{paired.sender} said the pairing code and is heard now through {paired.plugin}"
        self._tell(paired.worker, "info", words)
