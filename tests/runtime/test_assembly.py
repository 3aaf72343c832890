"""A manifest that `check` accepts makes a service, connections included, or a refusal with a code.

The manifests are the golden ones and generated ones; what is built is what `yoi serve` builds, up
to the connection that would dial.
"""

import asyncio
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from tests.runtime.fakes import NoSecrets

from yoi.connections import RequestClient, SystemResolver
from yoi.core.captures import HandleTable
from yoi.journal.state import StateStore
from yoi.limits import LIMITS, MIB
from yoi.packages import (
    MANIFEST_NAME,
    ComponentRuntime,
    Manifest,
    Package,
    ResolvedPlugin,
)
from yoi.permissions import Authority
from yoi.runtime.assembly import Assembler
from yoi.runtime.connection_specs import ConnectionSpecMaker
from yoi.runtime.pull_sockets import PullDialler
from yoi.runtime.service_spec import ServiceSpec
from yoi.testing import ManualClock
from yoi.testing.connector import MemoryConnector
from yoi.testing.timers import ManualTimers
from yoi.types import Digest, InstanceName

GOLDEN = sorted((Path(__file__).parents[1] / "packages" / "golden" / "good").glob("*.toml"))


class Silent:
    """A sink that nothing is reported to: nothing is dialled here."""


class NoSandbox:
    """Loads nothing: no instance is made here."""


def assembler() -> Assembler:
    loop, clock = asyncio.get_running_loop(), ManualClock()
    connector, resolver = MemoryConnector(clock.monotonic), SystemResolver(LIMITS)
    state = StateStore(None, LIMITS)
    return Assembler(
        sandbox=NoSandbox(),  # type: ignore[arg-type]
        connections=ConnectionSpecMaker(
            connector=connector,
            resolver=resolver,
            state=state,
            loop=loop,
            clock=clock,
            limits=LIMITS,
            rng=lambda: 0.5,
        ),
        loop=loop,
        clock=clock,
        limits=LIMITS,
        requests=RequestClient(resolver, clock, LIMITS),
        secrets=NoSecrets(),
        handles=HandleTable(LIMITS),
        state=state,
        pull=PullDialler(connector, resolver, clock, LIMITS, ManualTimers(clock).call_later),
        waiting=nullcontext,
    )


def resolved(text: bytes) -> ResolvedPlugin:
    """Return the plugin of this manifest as an operator enables it who grants all it asks for."""
    manifest = Manifest.parse(text)
    files = {MANIFEST_NAME: text}
    if isinstance(manifest.runtime, ComponentRuntime):
        files[manifest.runtime.component] = b"never loaded here"
    digest = Digest("sha256:" + "0" * 64)
    package = Package("project", Path("x.yoi-plugin"), manifest, digest, files)
    return ResolvedPlugin(
        name=InstanceName(manifest.id),
        reference=package.reference,
        package=package,
        surfaces=manifest.surfaces,
        config={},
        granted=manifest.requested,
        authority=Authority(manifest.requested, manifest.requested),
    )


def built(spec: ServiceSpec) -> None:
    """Make every connection of `spec`, as its service does when it starts."""
    for connection in spec.connections:
        connection.open(Silent()).status()  # type: ignore[arg-type]


class Broken:
    """Makes no connection spec."""

    def make(self, plugin, decl):
        raise ValueError(f"{decl.name} has a header that no handshake may carry")


async def test_whatever_comes_up_in_making_a_service_is_its_own_fault():
    text = next(p for p in GOLDEN if p.stem == "slack").read_bytes()
    spec = replace(assembler(), connections=Broken()).spec(resolved(text))  # type: ignore[arg-type]
    assert spec.fault is not None
    assert spec.fault.code == "usage.internal"
    assert "ValueError" in spec.fault.message
    assert "no handshake may carry" in spec.fault.message
    assert spec.connections == spec.ingresses == spec.tools == ()
    assert spec.fingerprint != assembler().spec(resolved(text)).fingerprint


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
async def test_golden_manifests_make_services(path):
    spec = assembler().spec(resolved(path.read_bytes()))
    assert spec.fault is None or spec.fault.code != "usage.internal", spec.fault
    built(spec)


class Loads:
    """Notes how much memory a guest is loaded with."""

    def load_python(self, files, entry, calls, *, name, memory_bytes):
        self.memory_bytes = memory_bytes


@pytest.mark.parametrize(("granted_mib", "given_mib"), [(None, 64), (96, 96), (512, 128)])
async def test_a_guest_gets_the_memory_that_manifest_and_grant_both_allow(granted_mib, given_mib):
    text = (
        b'schema_version = 1\nid = "a"\nname = "A"\nversion = "1"\n[runtime]\nkind = "python"\n'
        b'runner = "1"\nentry = "a:B"\nmemory_bytes = 134217728\n'
    )
    plugin = resolved(text)
    asked = plugin.package.manifest.requested
    granted = replace(asked, memory_bytes=granted_mib and granted_mib * MIB)
    plugin = replace(plugin, granted=granted, authority=Authority(asked, granted))
    sandbox = Loads()
    spec = replace(assembler(), sandbox=sandbox).spec(plugin)  # type: ignore[arg-type]
    spec.load()
    assert sandbox.memory_bytes == given_mib * MIB
