"""Holds the instance of one version of a plugin: loads it, runs its code on threads, retires it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from yoi.defects import defect
from yoi.errors import YoiError
from yoi.runtime.ledger import Ledger
from yoi.runtime.service_spec import HostContext, Instance, ServiceSpec
from yoi.runtime.thread_bridge import on_worker


class InstanceSlot:
    """See the module docstring. Its methods belong to the event loop.

    An instance that is `prepare`d is loaded and knows of nothing yet: `begin` makes it the one.
    """

    def __init__(self, spec: ServiceSpec, context: HostContext, ledger: Ledger) -> None:
        self.instance: Instance | None = None
        self.gone: Callable[[], None] = lambda: None
        """Called when an instance is stopped or lost: what it had begun ends with it."""
        self._prepared: Instance | None = None
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

    async def prepare(self) -> None:
        """Load an instance beside the one of another version. Raises YoiError."""
        self._spec.calls.begin(self._call_refused)
        try:
            self._prepared = await self._beside(self._spec.load)
        except Exception as exc:
            raise defect(exc, f"loading {self._spec.name}", str(exc)) from exc

    async def begin(self) -> Any:
        """Call start() of what was prepared and return its status. Raises YoiError."""
        spec, limits = self._spec, self._limits
        config = msgspec.json.encode(spec.config).decode()
        instance, self._prepared = self._prepared, None
        assert instance is not None, "begin follows prepare"

        def begin() -> dict[str, Any]:
            try:
                return instance.start(config, limits.start_ms)
            except BaseException:
                instance.close()
                raise

        try:
            status = await self.run(begin)
        except Exception as exc:
            self._collect(instance)
            raise defect(exc, f"starting {spec.name}", str(exc)) from exc
        self.instance = instance
        return status

    async def run(self, work: Callable[[], Any]) -> Any:
        """Return what `work` returns, run on a worker thread after the turns before it."""
        return await on_worker(self._turns, self._mailbox, self._spec.name, work)

    async def _beside(self, work: Callable[[], Any]) -> Any:
        """Do the same while another version of the plugin goes on."""
        return await on_worker(self._turns, self._mailbox, f"{self._spec.name}:beside", work)

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
        await self._retire(self.run)

    async def leave(self) -> None:
        """Do the same now that another version has taken over, which waits for nothing of this."""
        await self._retire(self._beside)

    async def _retire(self, run: Callable[[Callable[[], Any]], Awaitable[Any]]) -> None:
        # First: the turn that stops the guest waits for one that waits in a host call.
        self._spec.calls.end()
        instance, self.instance = self.instance, None
        prepared, self._prepared = self._prepared, None
        if prepared is not None:
            self._turns.submit(f"{self._spec.name}:beside", prepared.close)
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
                await run(retire)
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
