"""Publishes what a person decided in a workspace to the machines of its `[cluster]`, signed."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

from yoi.cluster.bulletin import Bulletin
from yoi.cluster.kept import Kept
from yoi.cluster.publication import (
    Publication,
    PublishedPackage,
    Seen,
    opened,
    seal_secrets,
    signed,
)
from yoi.cluster.settings import ClusterSettings
from yoi.decisions.entries import Content
from yoi.decisions.file import operator_file, read_file
from yoi.decisions.port import Decisions
from yoi.errors import ClusterError
from yoi.host.clustered import servers_of
from yoi.host.published import is_published
from yoi.journal.jetstream_server import connected
from yoi.limits import LIMITS, Limits
from yoi.mcp.settings import McpSettings
from yoi.packages import Enablement, package_inventory, resolve
from yoi.packages.writer import build_archive
from yoi.runtime.worker_profiles import workers_of
from yoi.secrets.deployment import DeploymentKey
from yoi.secrets.publisher import PublisherKey
from yoi.serving.secrets import WorkspaceSecrets

_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Made:
    """What was published."""

    publication: Publication
    pending: tuple[str, ...]
    """Entries of the file that are not published, wholly or partly: nobody decided them."""
    secrets: tuple[str, ...]
    """The names of the secrets that were published, sealed."""
    own_secrets: tuple[str, ...]
    """The names of those that each machine needs in its own store."""


@dataclass(frozen=True, slots=True)
class _Decided:
    entries: Mapping[str, Content]
    packages: tuple[tuple[PublishedPackage, bytes], ...]
    pending: tuple[str, ...]
    secrets: frozenset[str]
    """The names of all secrets that the entries use."""


async def publish(
    workspace: Path,
    decisions: Decisions,
    key: PublisherKey,
    sealed_with: DeploymentKey | None,
    now_ms: int,
    days: int,
    limits: Limits = LIMITS,
) -> Made:
    """Publish what of the workspace's plugins and workers is in force here, for so many `days`.

    The secrets that they use go along sealed where there is a key for it. Raises ClusterError, and
    what is wrong with an entry, its package or its secrets: then nothing is published.
    """
    decided = await asyncio.to_thread(_decided, workspace, decisions, limits)
    secrets: dict[str, str] = {}
    if sealed_with is not None:
        secrets = await _values(workspace, decisions, decided.secrets)
    kept = Kept(workspace)
    seen = await asyncio.to_thread(kept.seen)
    async with _bulletin(workspace, decisions, limits) as (bulletin, name):
        found = await bulletin.read()
        before = None if found is None else _published(found[1], key, name, limits)
        if before is not None and (seen is None or before[1].deployment != seen.deployment):
            raise ClusterError(
                "cluster.deployment",
                f"another workspace has published under the name {name} with this key",
                hint='another name for one of the two deployments: [cluster] name = "..."\n'
                "if this workspace decides for it from now on: yoi cluster publish --take-over",
            )
        newest = [one for one in (seen, before and before[1]) if one is not None]
        deployment = newest[0].deployment if newest else token_hex(16)
        publication = Publication(
            deployment=deployment,
            name=name,
            serial=max((one.serial for one in newest), default=0) + 1,
            issued_at_ms=now_ms,
            expires_at_ms=now_ms + days * _DAY_MS,
            entries=dict(decided.entries),
            packages=tuple(package for package, _ in decided.packages),
            sealed=None if sealed_with is None else seal_secrets(secrets, sealed_with, deployment),
        )
        data = signed(publication, key, limits)
        # Packages first: a machine that sees the publication finds them.
        await bulletin.put_packages(decided.packages)
        await bulletin.write(data, 0 if found is None else found[0])
        await asyncio.to_thread(kept.keep, opened(data, key.public, limits)[1])
        still = () if before is None else before[0].packages
        await bulletin.drop_packages((*publication.packages, *still))
    return Made(
        publication,
        decided.pending,
        tuple(sorted(secrets)),
        tuple(sorted(decided.secrets - secrets.keys())),
    )


async def take_over(
    workspace: Path, decisions: Decisions, key: PublisherKey, limits: Limits = LIMITS
) -> None:
    """Let this workspace decide for the deployment that another one, with `key`, has begun.

    Raises ClusterError where nothing is published with this key.
    """
    async with _bulletin(workspace, decisions, limits) as (bulletin, name):
        found = await bulletin.read()
    before = None if found is None else _published(found[1], key, name, limits)
    if before is None:
        raise ClusterError(
            "cluster.publication",
            f"nothing is published under the name {name}",
            hint="begin it: yoi cluster publish",
        )
    await asyncio.to_thread(Kept(workspace).keep, before[1])


@asynccontextmanager
async def _bulletin(
    workspace: Path, decisions: Decisions, limits: Limits
) -> AsyncIterator[tuple[Bulletin, str]]:
    """Give the bulletin of the workspace's deployment, and the deployment's name."""
    why, page = "it says to which servers to publish", "docs/how-to/several-machines.md"
    settings = await asyncio.to_thread(
        ClusterSettings.needed, workspace, decisions, why, page, limits
    )
    servers = await servers_of(settings, workspace, decisions)
    client = await connected(servers, limits)
    try:
        yield Bulletin(client, servers, limits), settings.name
    finally:
        await client.close()


def _published(
    data: bytes, key: PublisherKey, name: str, limits: Limits
) -> tuple[Publication, Seen] | None:
    """Return what is published now, None where it is nothing that any machine would go by.

    Raises ClusterError `cluster.deployment` where another key has signed it.
    """
    try:
        return opened(data, key.public, limits)
    except ClusterError as exc:
        if exc.code != "cluster.signature":
            return None
        raise ClusterError(
            "cluster.deployment",
            f"what is published under the name {name} was not signed with this key: {exc.message}",
            hint='another name for one of the two deployments: [cluster] name = "..."\n'
            "or the key with which this one was begun: --key FILE",
        ) from None


async def _values(workspace: Path, decisions: Decisions, names: Iterable[str]) -> dict[str, str]:
    """Return the values of `names` in the workspace's store. Raises SecretError for one without."""
    store = WorkspaceSecrets(workspace, decisions)
    await store.refresh()
    return {name: store.get(name).reveal() for name in names}


def _used(document: Mapping[str, Any], enabled: Enablement) -> frozenset[str]:
    """Return the names of the secrets that plugins, workers and MCP servers use."""
    granted = (use.secret for entry in enabled.entries for use in entry.granted.secrets)
    profiles = workers_of(document).profiles
    choices = [one.model.api_key for one in profiles]
    choices += [one.api_key for profile in profiles for one in profile.fallbacks]
    servers = [name for one in McpSettings.read(document).servers for name in one.secrets]
    return frozenset(name for name in (*granted, *choices, *servers) if name is not None)


def _decided(workspace: Path, decisions: Decisions, limits: Limits) -> _Decided:
    """Return what is in force, with the packages it needs. Raises YoiError for the first fault."""
    file = read_file(workspace, limits)
    found = file.in_force(decisions)
    entries = {name: one for name, one in found.entries.items() if is_published(name)}
    enabled = Enablement.of(found.document, operator_file(workspace))
    resolved = resolve(package_inventory(workspace), enabled)
    for problem in resolved.diagnostics:
        raise problem.error
    for fault in workers_of(found.document).faults:
        raise fault.error
    for off in McpSettings.read(found.document).faults:
        raise off.error
    archives = {}
    for plugin in resolved.plugins:
        data = build_archive(plugin.package.files)
        one = PublishedPackage(plugin.reference, plugin.package.digest, len(data))
        archives[one] = data
    return _Decided(
        entries,
        tuple(archives.items()),
        tuple(one.entry for one in found.pending if is_published(one.entry)),
        _used(found.document, enabled),
    )
