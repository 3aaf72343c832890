"""A manifest that `check` accepts makes a service, connections included, or a refusal with a code.

The manifests are the golden ones and generated ones; what is built is what `yoi serve` builds, up
to the connection that would dial.
"""

import asyncio
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import tomlkit
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.runtime.fakes import NoSecrets

from yoi.connections import RequestClient, SystemResolver
from yoi.core.captures import HandleTable
from yoi.decisions.paired import PairedSenders
from yoi.errors import ManifestError
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
from yoi.runtime.pairing import KeptHere, Pairings
from yoi.runtime.pull_sockets import PullDialler
from yoi.runtime.service_spec import ServiceSpec
from yoi.runtime.signer import NoNonces
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
        nonces=NoNonces(),
        pairings=Pairings(
            KeptHere(PairedSenders(Path("paired.json"), Path("w"), LIMITS)),
            clock,
            LIMITS,
            lambda *_: None,
        ),
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

    def make(self, plugin, decl, masker):
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


HEAD = """
schema_version = 1
id = "echo"
name = "Echo"
version = "0.1.0"

[runtime]
kind = "python"
runner = "1"
entry = "plugin:Echo"

[[ingresses]]
name = "events"
"""
TEXTS = st.sampled_from(
    ["", "a", "User-Agent", "x-y", "Cookie", "a b", "é", "\x7f", "1" * 200, "*"]
)
TIMES = st.sampled_from([-1, 0, 1, 99, 100, 500, 60_000, 600_000, 600_001, 2**63])
CONNECTION = st.fixed_dictionaries(
    {
        "name": st.just("gateway"),
        "ingress": st.sampled_from(["events", "events", "events", "others"]),
        "url": st.sampled_from(
            ["wss://a.example/", "ws://127.0.0.1:1/x?y=1", "wss://[::1]/", "https://a.example/"]
        ),
    },
    optional={
        "open": st.sampled_from(["start", "command"]),
        "ready": st.sampled_from(["traffic", "command"]),
        "deliver": st.lists(st.sampled_from(["text", "binary", "open", "close", "gap", "denied"])),
        "on_full": st.sampled_from(["pause", "drop_oldest", "drop_newest", "disconnect"]),
        "subprotocols": st.lists(TEXTS, max_size=10),
        "headers": st.dictionaries(TEXTS, TEXTS, max_size=3),
        "origin": st.sampled_from(["https://a.example", "a b", "null"]),
        "ping_ms": TIMES,
        "pong_ms": TIMES,
        "pause_grace_ms": TIMES,
        "backoff": st.fixed_dictionaries({}, optional={"first_ms": TIMES, "max_ms": TIMES}),
        "fatal_statuses": st.lists(st.sampled_from([200, 399, 400, 410, 599, 600])),
        "fatal_close_codes": st.lists(st.sampled_from([999, 1000, 1005, 1006, 1015, 4014, 5000])),
        "reconnect": st.fixed_dictionaries(
            {}, optional={"per_day": TIMES, "fresh_after": TIMES, "overlap_ms": TIMES}
        ),
    },
)


@settings(max_examples=80)
@given(connection=CONNECTION)
def test_whatever_check_accepts_makes_a_service(connection):
    text = (HEAD + tomlkit.dumps({"connections": [connection]})).encode()
    try:
        plugin = resolved(text)
    except ManifestError:
        return  # `check` says why, and nothing of it reaches a host

    async def build() -> None:
        spec = assembler().spec(plugin)
        assert spec.fault is None, spec.fault
        built(spec)

    asyncio.run(build())


class Loads:
    """Notes how much memory a guest is loaded with."""

    def load_python(self, files, entry, calls, *, libraries, name, memory_bytes, message_bytes):
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
