"""The services of one host, by name: the manager fills it, the rest of the host reads it."""

from collections.abc import Callable, Iterator

from yoi.defects import defect
from yoi.errors import ServiceError, run_elsewhere
from yoi.protocol.status import Alert, Counters, ServiceStatus
from yoi.runtime.service import Service


class Services:
    """The services there are now. Belongs to the event loop."""

    def __init__(self) -> None:
        self._by_name: dict[str, Service] = {}
        self.alerts_of: Callable[[str], list[Alert]] = lambda name: []
        """Return the open alerts about a service; set by who keeps them."""
        self.proven: Callable[[str, str], None] = lambda name, digest: None
        """Hears that a version, by its digest, is kept; set by who keeps the one before it."""
        self.machine_of: Callable[[str], str | None] = lambda name: None
        """Return the other machine that runs a service; set by who knows it. Empty: none does."""

    def __iter__(self) -> Iterator[Service]:
        """Iterate over the services, ordered by name; changes meanwhile do not matter."""
        return iter([self._by_name[name] for name in sorted(self._by_name)])

    def __len__(self) -> int:
        return len(self._by_name)

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __getitem__(self, name: str) -> Service:
        """Return the service called `name`.

        Raises ServiceError: `service.unknown`, `service.elsewhere`.
        """
        try:
            return self._by_name[name]
        except KeyError:
            machine = self.machine_of(name)
            if machine is not None:
                raise ServiceError(
                    "service.elsewhere",
                    run_elsewhere(name, machine),
                    hint="yoi cluster leases",
                    machine=machine,
                ) from None
            raise ServiceError(
                "service.unknown", f"no service is called {name!r}", hint="yoi service list"
            ) from None

    def status(self, name: str) -> ServiceStatus:
        """Return the status of one service, or raise ServiceError `service.unknown`."""
        return self._status(self[name])

    def statuses(self) -> dict[str, ServiceStatus]:
        """Return the status of every service, by name."""
        return {service.name: self._status(service) for service in self}

    async def ask_status(self, name: str) -> None:
        """Have the plugin of the service `name` say again what it says of itself, if it is there.

        What it says is shown with the status; one that is busy is not asked.
        """
        service = self._by_name.get(name)
        if service is not None:
            await service.ask_status()

    def _status(self, service: Service) -> ServiceStatus:
        status = _status(service)
        status.alerts = self.alerts_of(service.name)
        return status

    def put(self, service: Service) -> None:
        """Add `service`, in the place of another one of its name. For the manager."""
        self._by_name[service.name] = service

    def remove(self, name: str) -> None:
        """Forget a service. For the manager."""
        del self._by_name[name]


def _status(service: Service) -> ServiceStatus:
    """Return the status of `service`, or what is known of it where it cannot say that itself."""
    try:
        return service.status()
    except Exception as exc:
        error, spec = defect(exc, f"the status of {service.name}"), service.spec
        return ServiceStatus(
            name=service.name,
            reference=spec.reference,
            version=spec.version,
            digest=spec.digest,
            runtime=spec.runtime,
            lifecycle=service.lifecycle,
            health=service.lifecycle,
            last_error=error.message,
            last_error_code=error.code,
            counters=Counters(),
        )
