"""Holds the one instance of a plugin: loads it, runs guest code on worker threads, retires it."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from yoi.defects import defect
from yoi.errors import YoiError
from yoi.runtime.ledger import Ledger
from yoi.runtime.service_spec import HostContext, Instance, ServiceSpec
from yoi.runtime.thread_bridge import on_worker


class InstanceSlot:
    """See the module docstring. Its methods belong to the event loop."""

    def __init__(self, spec: ServiceSpec, context: HostContext, ledger: Ledger) -> None:
        self.instance: Instance | None = None
        self.gone: Callable[[], None] = lambda: None
        """Called when an instance is stopped or lost: what it had begun is nobody's."""
        self._spec = spec
        self._turns = context.turns
        self._mailbox = context.mailbox
        self._limits = context.limits
        self._ledger = ledger

    async def load(self) -> Any:
        """Load a new instance, call its start() and return its status. Raises YoiError."""
        spec, limits = self._spec, self._limits
        config = msgspec.json.encode(spec.config).decode()
        spec.calls.begin(self._call_refused)

        def load() -> tuple[Instance, dict[str, Any]]:
            instance = spec.load()
            try:
                return instance, instance.start(config, limits.start_ms)
            except BaseException:
                instance.close()
                raise

        try:
            self.instance, status = await self.run(load)
        except Exception as exc:
            # A defect of ours must cost this service, not the host that starts the others.
            raise defect(exc, f"loading {spec.name}", str(exc)) from exc
        return status

    async def run(self, work: Callable[[], Any]) -> Any:
        """Return what `work` returns, run on a worker thread after the turns before it."""
        return await on_worker(self._turns, self._mailbox, self._spec.name, work)

    def collect_output(self) -> None:
        """Put what the guest printed into the diagnostics."""
        if self.instance is not None:
            self._collect(self.instance)

    def discard(self) -> None:
        """Close the instance, which is lost."""
        self.collect_output()
        instance, self.instance = self.instance, None
        self._spec.calls.end()
        self.gone()
        if instance is None:
            return
        try:
            self._turns.submit(self._spec.name, instance.close)
        except Exception as exc:
            # Its memory is lost; that the service fails visibly must not be.
            self._ledger.error(defect(exc, "dropping the instance"))

    async def retire(self) -> None:
        """Let the plugin end its work, within the bound, and close the instance."""
        # First: the turn that stops the guest waits for one that waits in a host call.
        self._spec.calls.end()
        instance, self.instance = self.instance, None
        self.gone()
        if instance is None:
            return

        def retire() -> None:
            try:
                instance.stop(self._limits.stop_ms)
            finally:
                instance.close()

        try:
            async with asyncio.timeout(self._limits.retire_ms / 1000):
                await self.run(retire)
        except TimeoutError:
            # Its turn cannot be cut short; `retire` follows it on the same thread.
            instance.close()
            self._ledger.note(
                "notice.lifecycle",
                f"{self._spec.name} is still at work and is left to its deadline",
                severity="warning",
            )
        except YoiError as exc:
            self._ledger.error(exc, severity="warning")
        except Exception as exc:
            # It is closed in any case, and what waits for this must go on.
            self._ledger.error(YoiError("usage.internal", f"stop() failed: {exc!r}"))
        self._collect(instance)

    def _collect(self, instance: Instance) -> None:
        for line in instance.take_output():
            self._ledger.note(
                "notice.log",
                line.text,
                severity="info" if line.level == "debug" else line.level,
                stream=line.stream,
            )

    def _call_refused(self, error: YoiError) -> None:
        self._ledger.error(error, severity="warning")
