"""`Following`: a machine goes by what is published for its deployment, and by nothing older.

It looks again every two seconds. What cannot be confirmed for two thirds of a lease is in force no
longer: then the host has to stop, as one that could not renew its lease.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from yoi.cluster.bulletin import Bulletin
from yoi.cluster.kept import Kept
from yoi.cluster.publication import Expected, Publication, Verified, check_time, secrets_of, verify
from yoi.errors import ClusterError, YoiError
from yoi.limits import LIMITS, Limits
from yoi.packages.package import Package
from yoi.protocol.published import PublicationMark
from yoi.secrets.deployment import DeploymentKey
from yoi.secrets.publisher import PublicKey


@dataclass(frozen=True, slots=True)
class InForce:
    """A publication that was taken for true, with its packages."""

    publication: Publication
    packages: tuple[Package, ...]
    secrets: Mapping[str, str] = field(repr=False)


class Following:
    """See the module docstring. One per host; it belongs to the event loop."""

    def __init__(
        self,
        bulletin: Bulletin,
        kept: Kept,
        key: PublicKey,
        sealed_with: DeploymentKey | None,
        name: str,
        stale_after: float,
        wall_ms: Callable[[], int],
        monotonic: Callable[[], float],
        limits: Limits = LIMITS,
    ) -> None:
        """`name` is the deployment's; `stale_after` seconds count from when a look was begun."""
        self._bulletin, self._kept, self._limits = bulletin, kept, limits
        self._expected, self._sealed_with = Expected(key, name, None), sealed_with
        self._stale_after = stale_after
        self._wall_ms, self._monotonic = wall_ms, monotonic
        self._in_force: InForce | None = None
        self._mark, self._fresh_at = "", 0.0

    @property
    def in_force(self) -> InForce:
        """Return what the machine goes by. Only after a first `look`."""
        assert self._in_force is not None, "looked"
        return self._in_force

    @property
    def mark(self) -> PublicationMark:
        """Return which publication that is, for the logs. Only after a first `look`."""
        found = self.in_force.publication
        return PublicationMark(found.deployment, found.serial)

    @property
    def days_left(self) -> float:
        """Return for how many days what is in force is so. Only after a first `look`."""
        return self.in_force.publication.days_left(self._wall_ms())

    @property
    def ends_soon(self) -> bool:
        """Return whether a person should publish again by now. Only after a first `look`."""
        return self.in_force.publication.ends_soon(self._wall_ms())

    async def look(self) -> None:
        """Take what is published for true, or raise.

        Raises ClusterError as `verify` and `secrets_of`, and `cluster.unreachable`,
        `cluster.package`; TrustError, SecretError where it cannot be remembered. What was in force
        stays so.
        """
        begun = self._monotonic()
        mark = await self._bulletin.mark()
        if self._in_force is not None and mark == self._mark:
            check_time(self._in_force.publication, self._wall_ms(), self._limits)
            self._fresh_at = begun
            return
        found = await self._bulletin.read()
        if found is None:
            raise ClusterError(
                "cluster.publication",
                f"nothing is published for the deployment {self._expected.name}",
                hint="where a person decides: yoi cluster publish",
            )
        if self._expected.seen is None:
            seen = await asyncio.to_thread(self._kept.seen)
            self._expected = replace(self._expected, seen=seen)
        verified = await asyncio.to_thread(
            verify, found[1], self._expected, self._wall_ms(), self._limits
        )
        before = self._in_force
        if before is None or verified.publication != before.publication:
            secrets = secrets_of(verified.publication, self._sealed_with)
            packages = await self._packages(verified)
            # Remembered before anything goes by it: an older one is refused from here on.
            await asyncio.to_thread(self._kept.keep, verified.seen)
            self._expected = replace(self._expected, seen=verified.seen)
            self._in_force = InForce(verified.publication, packages, secrets)
        self._mark = mark
        self._fresh_at = begun

    async def follow(
        self,
        changed: Callable[[InForce, InForce], object],
        tell: Callable[[YoiError], object],
        over: asyncio.Event,
    ) -> None:
        """Look until what is in force is stale; then `over` is set. Only after a first `look`.

        `changed` hears what was in force and what is now, `tell` a fault, once until a look is well
        again.
        """
        told: str | None = None
        while not over.is_set():
            await asyncio.sleep(min(self._limits.publication_ms / 1000, self._stale_after / 4))
            before = self.in_force
            fault = await self._fault()
            if fault is None:
                told = None
                if self.in_force is not before:
                    changed(before, self.in_force)
                continue
            if fault.code != told:
                tell(fault)
                told = fault.code
            if self._monotonic() - self._fresh_at >= self._stale_after:
                tell(
                    ClusterError(
                        "cluster.stale",
                        f"what is published could not be confirmed for {self._stale_after:g} s "
                        f"({fault.code}): this host stops",
                        hint=fault.hint,
                    )
                )
                over.set()

    async def _fault(self) -> YoiError | None:
        """Look, and return why that failed."""
        try:
            async with asyncio.timeout(self._stale_after / 2):
                await self.look()
        except TimeoutError:
            return ClusterError(
                "cluster.unreachable",
                "what is published was not read in time",
                hint="yoi cluster doctor",
            )
        except YoiError as exc:
            return exc
        return None

    async def _packages(self, verified: Verified) -> tuple[Package, ...]:
        made = []
        wanted = verified.publication.packages
        for one in wanted:
            package = await asyncio.to_thread(self._kept.package, one)
            if package is None:
                data = await self._bulletin.package(one)
                package = await asyncio.to_thread(self._kept.keep_package, one, data)
            made.append(package)
        await asyncio.to_thread(self._kept.drop_packages, wanted)
        return tuple(made)
