"""The services of one host: which run, and what changes when the operator's configuration does."""

import asyncio
from collections.abc import Iterable, Sequence

import msgspec

from yoi.errors import ServiceError
from yoi.protocol.status import ServiceStatus
from yoi.runtime.service import Service
from yoi.runtime.service_spec import HostContext, ServiceSpec

_POLICY_CLOSE = 1012
"""RFC 6455's registry calls it "service restart": the operator changed what runs here."""
_STARTS_AT_ONCE = 4
"""Loading is CPU work in the guest: more at once only makes each slower."""


class Applied(msgspec.Struct, kw_only=True):
    """What a reload did, as instance names."""

    started: list[str]
    stopped: list[str]
    restarted: list[str]
    regranted: list[str]
    """Services that go on under other grants; what those no longer allow was closed."""


class ServiceManager:
    """Runs services, each made from its specification. Belongs to the event loop."""

    def __init__(self, context: HostContext) -> None:
        self._context = context
        self._services: dict[str, Service] = {}
        self._applying = asyncio.Lock()
        self._stopping = False

    @property
    def services(self) -> Sequence[Service]:
        """Return the services, by name."""
        return [self._services[name] for name in sorted(self._services)]

    def service(self, name: str) -> Service:
        """Return the service called `name`, or raise ServiceError `service.unknown`."""
        try:
            return self._services[name]
        except KeyError:
            raise ServiceError(
                "service.unknown", f"no service is called {name!r}", hint="yoi service list"
            ) from None

    async def apply(self, specs: Iterable[ServiceSpec]) -> Applied:
        """Run exactly `specs`: stop what is gone, replace what changed, start what is new."""
        wanted: dict[str, ServiceSpec] = {spec.name: spec for spec in specs}
        async with self._applying:
            if self._stopping:
                raise ServiceError("service.stopping", "the host is stopping")
            gone = [name for name in self._services if name not in wanted]
            changed = [
                name
                for name, service in self._services.items()
                if name in wanted and wanted[name].fingerprint != service.spec.fingerprint
            ]
            regranted = [
                name
                for name, service in self._services.items()
                if name in wanted and name not in changed and service.regrant(wanted[name])
            ]
            new = [name for name in wanted if name not in self._services]
            await asyncio.gather(
                *(
                    self._services[name].retire(
                        reason="disabled or changed", close_code=_POLICY_CLOSE
                    )
                    for name in gone + changed
                )
            )
            for name in gone:
                del self._services[name]
            for name in changed + new:
                self._services[name] = Service(wanted[name], self._context)
            self._context.observer.follow_services()
            await self._start([self._services[name] for name in changed + new])
        return Applied(
            started=sorted(new),
            stopped=sorted(gone),
            restarted=sorted(changed),
            regranted=sorted(regranted),
        )

    async def stop(self) -> None:
        """Drain and stop every service."""
        self._stopping = True
        # At once: services that an apply has not yet started are then left alone.
        await self._retire_all()
        async with self._applying:
            await self._retire_all()

    async def statuses(self) -> list[ServiceStatus]:
        """Return the status of every service."""
        return [service.status() for service in self.services]

    async def _retire_all(self) -> None:
        await asyncio.gather(*(s.retire(reason="the host is stopping") for s in self.services))

    async def _start(self, services: Sequence[Service]) -> None:
        gate = asyncio.Semaphore(_STARTS_AT_ONCE)

        async def start(service: Service) -> None:
            async with gate:
                if not self._stopping:
                    await service.start()

        await asyncio.gather(*(start(service) for service in services))
