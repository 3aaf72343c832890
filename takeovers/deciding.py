"""Writes into a machine's folder what a person would have decided on it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tomlkit

from takeovers.gateways import TOKEN, Gateway, SignInGateway
from takeovers.machine import Machine
from yoi.packages import EnabledEntry, Store, add_to_store
from yoi.permissions.secrets import SecretUse
from yoi.testing.trusting import entry_as_requested

PLUGINS = Path(__file__).parent / "plugins"
_SECRET = "bot"


@dataclass(frozen=True)
class Decided:
    """What is alike on all machines."""

    name: str
    lease_ms: int
    replicas: int
    workers: int


def decide(machine: Machine, gateways: Mapping[str, Gateway], decided: Decided) -> None:
    """Enable a plugin for each gateway, beside workers that some of them notify."""
    (machine.workspace / ".yoi").mkdir(parents=True, mode=0o700)
    config = machine.folder / "config/yoi"
    config.mkdir(parents=True)
    host = {
        "cluster": {"name": machine.name},
        # Names lead to the gateways through the proxy alone: packages are alike on all machines.
        "network": {"proxy": f"http://127.0.0.1:{machine.proxy.port}", "proxy_resolves": True},
    }
    _write(config / "host.toml", host)
    workers = [f"ops-{number}" for number in range(decided.workers)]
    rules: dict[str, list[dict[str, Any]]] = {name: [] for name in workers}
    entries = []
    for number, (name, gateway) in enumerate(gateways.items()):
        # Every third service works with a worker, and is one unit with it.
        worker = workers[number // 3 % decided.workers] if number % 3 == 0 else None
        entries.append(_enabled(machine, name, gateway, worker).to_table())
        if worker is not None:
            rules[worker].append({"plugin": name, "start_run": True, "per_minute": 6000})
    document = {
        "cluster": {
            "nats": [f"nats://127.0.0.1:{cut.port}" for cut in machine.cuts],
            "name": decided.name,
            "lease_ms": decided.lease_ms,
            "replicas": decided.replicas,
            "size_bytes": 1 << 28,
        },
        "plugins": {"enabled": entries},
        "workers": [
            {"name": name, "model": "scripted", "script": [{"say": "noted"}], "notify": rows}
            for name, rows in rules.items()
        ],
    }
    _write(machine.workspace / ".yoi/yoi.toml", document)
    if any(isinstance(one, SignInGateway) for one in gateways.values()):
        machine.keep(_SECRET, TOKEN)


def _enabled(machine: Machine, name: str, gateway: Gateway, worker: str | None) -> EnabledEntry:
    kind = "signing" if isinstance(gateway, SignInGateway) else "counter"
    source = machine.folder / f"source-{name}"
    source.mkdir()
    for path in (PLUGINS / kind).glob("plugin.*"):
        text = path.read_text().replace("PORT", str(gateway.port)).replace("LANE", name)
        text = text.replace('"TELLS"', '"yes"' if worker else '"no"')
        (source / path.name).write_text(text.replace("WORKER", worker or "nobody"))
    package = add_to_store(source, Store.project(machine.workspace))
    entry = entry_as_requested(package, name)
    secrets = tuple(
        SecretUse.of(one.name, one.binding, one.description, _SECRET)
        for one in entry.granted.secrets
    )
    return replace(entry, granted=replace(entry.granted, secrets=secrets))


def _write(file: Path, document: dict[str, Any]) -> None:
    file.write_text(tomlkit.dumps(document))
    file.chmod(0o600)
