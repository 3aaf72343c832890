"""The services of one host: which run, and what changes when the operator's configuration does."""

import asyncio
from collections.abc import Collection, Iterable, Sequence
from enum import Enum

import msgspec

from yoi.defects import defect
from yoi.errors import ServiceError, YoiError
from yoi.permissions import PermissionSet, permission_hash
from yoi.permissions.connection_settings import GOING_AWAY
from yoi.protocol.diagnostics import failure
from yoi.runtime.containment import contained_work
from yoi.runtime.service import Service
from yoi.runtime.service_connections import POLICY_CLOSE
from yoi.runtime.service_spec import HostContext, ServiceSpec
from yoi.runtime.services import Services
from yoi.types import rfc3339

_STARTS_AT_ONCE = 4
"""Loading is CPU work in the guest: more at once only makes each slower."""


class _Wish(Enum):
    """What settings ask of a service that is there."""

    GRANTS = "the version that runs, under these grants"
    REPLACE = "another version in its place"
    ANEW = "another service"
    NOTHING = "a version that was tried and refused"


_W = _Wish


class RefusedChange(msgspec.Struct, kw_only=True, frozen=True):
    """A service whose new version could not take over; the one before it goes on."""

    name: str
    version: str
    code: str
    message: str


class Applied(msgspec.Struct, kw_only=True):
    """What a reload did, as instance names."""

    started: list[str]
    stopped: list[str]
    restarted: list[str]
    regranted: list[str]
    """Services that go on under other grants; what those no longer allow was closed."""
    replaced: list[str] = []
    """Services whose new version took over, with every session that may stay open."""
    refused: list[RefusedChange] = []


class ServiceManager:
    """Runs services, each made from its specification. Belongs to the event loop."""

    def __init__(self, services: Services, context: HostContext) -> None:
        self._services = services
        self._context = context
        self._applying = asyncio.Lock()
        self._stopping = False

    async def apply(
        self, specs: Iterable[ServiceSpec], moving: Collection[str] = frozenset()
    ) -> Applied:
        """Run exactly `specs`: stop what is gone, replace what changed, start what is new.

        What is gone and in `moving` goes on on another machine.

        A fault of one service, a defect of ours included, is told as that service's and leaves the
        others alone. Raises ServiceError `service.stopping`.
        """
        wanted: dict[str, ServiceSpec] = {spec.name: spec for spec in specs}
        async with self._applying:
            if self._stopping:
                raise ServiceError("service.stopping", "the host is stopping")
            there: dict[str, Service] = {service.name: service for service in self._services}
            gone = [name for name in there if name not in wanted]
            wishes = {name: _wish(there[name], wanted[name]) for name in there if name in wanted}
            changed = [name for name, wish in wishes.items() if wish in (_W.REPLACE, _W.ANEW)]
            replaced = await self._replace(
                [(there[name], wanted[name]) for name in changed if wishes[name] is _W.REPLACE]
            )
            changed = [name for name in changed if name not in replaced]
            regranted: list[str] = []
            for name in [one for one, wish in wishes.items() if wish is _W.GRANTS]:
                try:
                    if there[name].regrant(wanted[name]):
                        regranted.append(name)
                except Exception as exc:
                    # Which grants are in force now is not known: the service is replaced and fails.
                    fault = defect(exc, f"putting other grants of {name} in force")
                    wanted[name] = wanted[name].failed(fault)
                    changed.append(name)
            new = [name for name in wanted if name not in there]
            await asyncio.gather(
                *(
                    self._retire(there[name], "moves to another machine", GOING_AWAY)
                    if name in moving
                    else self._retire(there[name], "disabled or changed", POLICY_CLOSE)
                    for name in gone + changed
                )
            )
            for name in gone:
                self._services.remove(name)
            for name in changed + new:
                self._services.put(self._made(wanted[name]))
            self._context.observer.follow_services()
            await self._start([self._services[name] for name in changed + new])
        return Applied(
            started=sorted(new),
            stopped=sorted(gone),
            restarted=sorted(changed),
            regranted=sorted(regranted),
            replaced=sorted(name for name in replaced if there[name].refused is None),
            refused=_refused(there[name] for name in sorted(replaced)),
        )

    async def stop(self) -> None:
        """Drain and stop every service."""
        self._stopping = True
        # At once: services that an apply has not yet started are then left alone.
        await self._retire_all()
        async with self._applying:
            await self._retire_all()

    async def _replace(self, changes: Sequence[tuple[Service, ServiceSpec]]) -> set[str]:
        """Have services go on as other versions; return those that need not be made anew."""
        gate = asyncio.Semaphore(_STARTS_AT_ONCE)

        async def replace(service: Service, spec: ServiceSpec) -> bool:
            async with gate:
                return await service.replace(spec)

        done = await asyncio.gather(*(replace(*one) for one in changes))
        return {service.name for (service, _), made in zip(changes, done, strict=True) if made}

    def _made(self, spec: ServiceSpec) -> Service:
        try:
            return Service(spec, self._context)
        except Exception as exc:
            fault = defect(exc, f"making the service {spec.name}", str(exc))
            return Service(spec.failed(fault), self._context)

    async def _retire_all(self) -> None:
        await asyncio.gather(
            *(self._retire(one, "the host is stopping", GOING_AWAY) for one in self._services)
        )

    async def _retire(self, service: Service, reason: str, close_code: int) -> None:
        try:
            await service.retire(reason=reason, close_code=close_code)
        except Exception as exc:
            # What is left of it must be able to do nothing any more.
            service.spec.authority.regrant(PermissionSet())
            self._tell(service.name, defect(exc, f"stopping {service.name}"))

    def _tell(self, name: str, error: YoiError) -> None:
        at = rfc3339(self._context.clock.wall())
        entry = failure(at, f"service:{name}", error)
        self._context.listen(entry)
        self._context.observer.diagnosed(name, entry)

    async def _start(self, services: Sequence[Service]) -> None:
        gate = asyncio.Semaphore(_STARTS_AT_ONCE)

        async def start(service: Service) -> None:
            async with gate:
                if not self._stopping:
                    doing = f"starting {service.name}"
                    await contained_work(doing, service.start(), service.guest_lost)

        await asyncio.gather(*(start(service) for service in services))


def _wish(service: Service, wanted: ServiceSpec) -> _Wish:
    refused = service.refused
    if wanted.fingerprint == service.spec.fingerprint:
        return _W.GRANTS
    if refused is None or refused.spec.fingerprint != wanted.fingerprint:
        return _W.REPLACE
    before = permission_hash(refused.spec.authority.granted)
    if before == permission_hash(wanted.authority.granted):
        return _W.NOTHING
    # What runs was decided before what was refused; other grants are no decision about it.
    return _W.ANEW


def _refused(services: Iterable[Service]) -> list[RefusedChange]:
    return [
        RefusedChange(
            name=service.name,
            version=refused.status.version,
            code=refused.status.code,
            message=refused.status.message,
        )
        for service in services
        if (refused := service.refused) is not None
    ]
