"""A host that runs what its operator published, instead of what its own account decided."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from yoi.cluster.bulletin import Bulletin
from yoi.cluster.following import Following
from yoi.cluster.following import InForce as Obeyed
from yoi.cluster.kept import Kept
from yoi.cluster.rotated import RotatedSecrets
from yoi.cluster.settings import ClusterSettings
from yoi.core.lease import LeaseTimes
from yoi.core.withdrawal import Reading
from yoi.decisions.entries import Content, Entries, document_of
from yoi.decisions.file import Check, OperatorFile, look
from yoi.decisions.port import Decisions, InForce, Undisturbed, judge
from yoi.defects import defect
from yoi.errors import ClusterError, YoiError
from yoi.host.clustered import SUSPENSION_COUNTS, servers_of
from yoi.host.deployment_secrets import DeploymentSecrets
from yoi.host.opened import Opened, following
from yoi.host.runtime_parts import closing
from yoi.journal.jetstream_server import connected
from yoi.journal.log import Journal
from yoi.limits import LIMITS, Limits
from yoi.packages import PackageInventory
from yoi.protocol.diagnostics import Diagnostic, diagnostic
from yoi.protocol.published import PublicationMark
from yoi.runtime.workspace import WorkspacePlans
from yoi.secrets.deployment import DeploymentKey
from yoi.serving.host_settings import HostSettings
from yoi.types import Clock, rfc3339

PUBLISHED = ("plugin", "worker", "mcp")
"""The sections of yoi.toml that are published; all others are a machine's own."""


def is_published(entry: str) -> bool:
    """Return whether the entry of this name is one that is published."""
    return entry.partition(":")[0] in PUBLISHED


@dataclass(frozen=True, slots=True)
class Published:
    """What a host that obeys a publisher goes by."""

    following: Following
    plans: WorkspacePlans
    key: DeploymentKey | None
    decisions: Decisions
    limits: Limits

    @classmethod
    async def open(
        cls,
        opened: Opened,
        workspace: Path,
        secrets_of: Path,
        decisions: Decisions,
        machine: HostSettings,
        clock: Clock,
        listen: Callable[[Diagnostic], None],
    ) -> "Published":
        """Return it, looked at once; `listen` hears what of the machine's own file is not in force.

        Raises ClusterError, EnablementError, TrustError, SecretError: then the host must not run.
        """
        limits = machine.limits
        settings = await asyncio.to_thread(ClusterSettings.load, workspace, decisions, limits)
        assert settings is not None, "[cluster] is there"
        assert machine.publisher is not None, "the machine obeys somebody"
        servers = await servers_of(settings, secrets_of, decisions)
        client = await connected(servers, limits)
        await opened.enter("the publication's connection", closing(client.close))
        key = await asyncio.to_thread(lambda: machine.deployment_key)
        obeyed = Following(
            Bulletin(client, servers, limits),
            Kept(workspace),
            machine.publisher,
            key,
            settings.name,
            LeaseTimes(settings.lease_ms / 1000).stop,
            clock.wall_ms,
            SUSPENSION_COUNTS,
            limits,
        )
        await obeyed.look()
        files = PublishedFiles(workspace, obeyed, limits)
        ignored = await asyncio.to_thread(files.ignored)
        at = rfc3339(clock.wall())
        if ignored:
            words = f"{', '.join(ignored[:8])} of yoi.toml is not in force: what is published is"
            listen(diagnostic(at, "notice.published", "host", words, severity="warning"))
        serial = obeyed.in_force.publication.serial
        listen(diagnostic(at, "notice.published", "host", f"obeys the publication {serial}"))
        plans = WorkspacePlans(
            workspace, clock, PublishedDecisions(decisions, files), limits, files
        )
        return cls(obeyed, plans, key, decisions, limits)

    def mark(self) -> PublicationMark:
        """Return which publication is in force."""
        return self.following.mark

    def secrets(self, store: Path, journal: Journal) -> DeploymentSecrets | None:
        """Return the secrets of the host, with the published ones; None: it has only its own."""
        if self.key is None:
            return None
        rotated = RotatedSecrets(journal, self.key, self.limits)
        following = self.following
        return DeploymentSecrets(store, self.decisions, lambda: following.in_force.secrets, rotated)

    async def follow(
        self,
        reload: Callable[[], Awaitable[object]],
        tell: Callable[[YoiError], object],
        over: asyncio.Event,
        secrets: DeploymentSecrets | None,
    ) -> None:
        """Go by what is published as it changes, until it is stale; then `over` is set."""
        waiting = asyncio.Event()

        def changed(before: Obeyed, after: Obeyed) -> None:
            # At once: a publication is whole, whatever it says no more.
            self.plans.decided({*before.publication.entries, *after.publication.entries})
            waiting.set()

        async def reloading() -> None:
            while True:
                await waiting.wait()
                waiting.clear()
                try:
                    await reload()
                except Exception as exc:
                    tell(defect(exc, "applying what was published", str(exc)))

        async def looking_after() -> None:
            warned = 0
            while True:
                await asyncio.sleep(self.limits.publication_ms / 1000)
                if secrets is not None and await secrets.moved():
                    waiting.set()
                serial = self.following.in_force.publication.serial
                if self.following.ends_soon and warned != serial:
                    tell(self._ends_soon())
                    warned = serial

        # Apart: starting plugins may take longer than what is in force may go unconfirmed.
        async with following(reloading), following(looking_after):
            await self.following.follow(changed, tell, over)

    def _ends_soon(self) -> YoiError:
        return ClusterError(
            "cluster.expired",
            f"what is published ends in {self.following.days_left:.1f} days: then all machines "
            "that go by it stop",
            hint="publish again, where a person decides: yoi cluster publish",
        )


class PublishedFiles:
    """A `PlanSource`: plugins and workers of the publication, and all else of yoi.toml."""

    def __init__(self, workspace: Path, following: Following, limits: Limits = LIMITS) -> None:
        self._workspace, self._following, self._limits = workspace, following, limits
        self.obeyed = following.in_force
        """What one reading goes by, from `take` on."""

    def take(self) -> None:
        """Go by what is in force now: file, decisions and packages are of one publication."""
        self.obeyed = self._following.in_force

    def look(self, check: Check) -> tuple[Reading, OperatorFile]:
        """Return the machine's own yoi.toml with the published entries in place of its own."""
        reading, own = look(self._workspace, _anything, self._limits)
        if reading.fault is not None:
            return reading, own
        publication = self.obeyed.publication
        entries = {**_own(own.entries), **_published(publication.entries)}
        # Another publication is another content, never the beginning of the last one.
        content = f"# publication {publication.serial}\n".encode() + own.content
        found = OperatorFile(self._workspace, content, document_of(entries))
        try:
            check(found.document)
        except YoiError as exc:
            return replace(reading, fault=exc), OperatorFile(self._workspace)
        return found.reading, found

    def packages(self) -> PackageInventory:
        """Return the published packages."""
        return PackageInventory(self.obeyed.packages, ())

    def ignored(self) -> list[str]:
        """Return the plugins and workers of the machine's own yoi.toml: they are not in force."""
        _, own = look(self._workspace, _anything, self._limits)
        return [name for name in own.entries if is_published(name)]


class PublishedDecisions:
    """`Decisions` in which plugins and workers are decided by the publication.

    Everything else is what `own` says: the account of this machine.
    """

    def __init__(self, own: Decisions, files: PublishedFiles) -> None:
        self._own, self._files = own, files

    def in_force(self, workspace: Path, file: Entries) -> InForce:
        """Return what was published, or decided here, and stands in `file`."""
        self._files.take()
        return self._judged(self._own.in_force(workspace, _own(file)), file)

    @contextlib.contextmanager
    def undisturbed(self, workspace: Path) -> Iterator[Undisturbed]:
        """Yield what was published, and what is decided here while no command changes that."""
        self._files.take()
        with self._own.undisturbed(workspace) as here:

            def in_force(file: Entries) -> InForce:
                return self._judged(here.in_force(_own(file)), file)

            def narrow(found: InForce) -> None:
                own = tuple(one for one in found.verdicts if not is_published(one.entry))
                here.narrow(replace(found, verdicts=own))

            yield Undisturbed(in_force, narrow)

    def _judged(self, here: InForce, file: Entries) -> InForce:
        published: Mapping[str, Content] = self._files.obeyed.publication.entries
        return judge({**_own(here.decided), **_published(published)}, file)

    def identity(self, workspace: Path) -> str | None:
        """Return the id that the host's own files carry."""
        return self._own.identity(workspace)

    def signature(self, workspace: Path) -> Hashable:
        """Return what differs once something else is decided here, or published."""
        return self._own.signature(workspace), self._files.obeyed.publication.serial

    def queued(self, workspace: Path) -> Mapping[str, str] | None:
        """Return the work items that were queued on this machine."""
        return self._own.queued(workspace)

    def taken(self, workspace: Path, ticket: str, digest: str) -> bool:
        """Withdraw the decision that `ticket` is queued; return whether it was."""
        return self._own.taken(workspace, ticket, digest)


def _own(entries: Mapping[str, Content]) -> Entries:
    return {name: one for name, one in entries.items() if not is_published(name)}


def _published(entries: Mapping[str, Content]) -> Entries:
    """Return what may be published of a publication's entries: a machine's own settings stay."""
    return {name: one for name, one in entries.items() if is_published(name)}


def _anything(document: Mapping[str, object]) -> None:
    """Judge nothing: only a part of the file is used."""
