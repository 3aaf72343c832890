"""Clients that use `yoi.client`, and write down every value it hands out."""

import contextlib
from typing import Any

import msgspec

from chaos.transcript import REPEATED, Place, Step
from chaos.watcher import Watcher
from yoi.client import (
    Diagnostic,
    Disconnected,
    Ended,
    Event,
    Resync,
    Snapshot,
    Target,
    Value,
    observe,
)
from yoi.errors import ObserveError


class LibraryWatcher(Watcher):
    """`observe`, which reconnects by itself; a drop is a new watch from the saved cursor."""

    async def connect(self) -> None:
        """Watch until the library says that nothing follows."""
        spec = self.spec
        make = Target.worker if spec.kind == "worker" else Target.service
        target = make(spec.url, spec.name, token=spec.token, runtime_id=spec.runtime)
        self.opened()
        watch = observe(
            target, cursor=self.cursor, snapshot="always" if self.asks_again else "auto"
        )
        try:
            async with contextlib.aclosing(watch):
                async for value in watch:
                    self._take(value)
                    await self.breathe()
        except ObserveError as exc:
            self.finish(exc.code)
        finally:
            if watch.duplicates:  # dropped, so no value tells of them
                self.transcript.write("value", "Duplicates", {"code": REPEATED})

    def _take(self, value: Value) -> None:
        name = type(value).__name__
        told: dict[str, Any] = {}
        if isinstance(value, Snapshot | Event):
            payload = msgspec.Raw(value.raw)
            told = {"id": value.event_id, "cursor": value.cursor, "payload": payload}
            epoch, _, seq = value.event_id.removesuffix(".s").partition("-")
            self.note(Step("event", Place(epoch, int(seq)), cursor=value.cursor))
        elif isinstance(value, Resync):
            told = {"code": value.code}
        elif isinstance(value, Diagnostic):
            told = {"code": value.diagnostic.code}
        elif isinstance(value, Disconnected):
            told = {"code": f"away.{value.reason}"}
        elif (cursor := getattr(value, "cursor", None)) is not None:
            told = {"cursor": cursor}
            self.note(Step("said", cursor=cursor))
        self.transcript.write("value", name, told)
        if isinstance(value, Ended):
            self.finish("ended")
