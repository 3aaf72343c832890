"""Writes into a machine's folder what a person would have decided on it."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tomlkit
import trustme

from takeovers.gateways import TOKEN, Gateway, SignInGateway
from takeovers.machine import Machine
from takeovers.network import Forward
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
    key_file: Path | None = None
    """The deployment's key: there is one where backends watch."""

    def cluster(self, ports: Iterable[int]) -> dict[str, Any]:
        """Return `[cluster]` of a machine that reaches the servers at these ports."""
        return {
            "nats": [f"nats://127.0.0.1:{port}" for port in ports],
            "name": self.name,
            "lease_ms": self.lease_ms,
            "replicas": self.replicas,
            "size_bytes": 1 << 28,
        }


def decide(machine: Machine, gateways: Mapping[str, Gateway], decided: Decided) -> None:
    """Enable a plugin for each gateway, beside workers that some of them notify."""
    (machine.workspace / ".yoi").mkdir(parents=True, mode=0o700)
    config = machine.folder / "config/yoi"
    config.mkdir(parents=True)
    host: dict[str, Any] = {
        "cluster": {"name": machine.name},
        # Names lead to the gateways through the proxy alone: packages are alike on all machines.
        "network": {"proxy": f"http://127.0.0.1:{machine.proxy.port}", "proxy_resolves": True},
    }
    if decided.key_file is not None and machine.listener is not None:
        host["cluster"]["key_file"] = str(decided.key_file)
        host["runtime"] = _listening(machine.listener, config)
    _write(config / "host.toml", host)
    workers = [f"ops-{number}" for number in range(decided.workers)]
    rules: dict[str, list[dict[str, Any]]] = {name: [] for name in workers}
    entries = []
    for number, (name, gateway) in enumerate(gateways.items()):
        worker = workers[number // 3 % decided.workers] if gateway.tells else None
        entries.append(_enabled(machine, name, gateway, worker).to_table())
        if worker is not None:
            rules[worker].append({"plugin": name, "start_run": True, "per_minute": 6000})
    document = {
        "cluster": decided.cluster(cut.port for cut in machine.cuts),
        "plugins": {"enabled": entries},
        "workers": [
            {"name": name, "model": "scripted", "script": [{"say": "noted"}], "notify": rows}
            for name, rows in rules.items()
        ],
    }
    _write(machine.workspace / ".yoi/yoi.toml", document)
    if any(isinstance(one, SignInGateway) for one in gateways.values()):
        machine.said("secret", "set", _SECRET, "--stdin", stdin=TOKEN)


def _listening(listener: Forward, folder: Path) -> dict[str, Any]:
    """Return where a runtime listens: it registers the first of its names, which is the proxy's.

    At loopback it would register its own address: a name is taken for another one's there.
    """
    certificate = trustme.CA().issue_cert("localhost")
    files = {"certificate": str(folder / "chain.pem"), "key": str(folder / "key.pem")}
    certificate.private_key_pem.write_to_path(files["key"])
    os.chmod(files["key"], 0o600)
    for one in certificate.cert_chain_pems:
        one.write_to_path(files["certificate"], append=True)
    return {
        "listen": f"0.0.0.0:{listener.target}",
        "names": [f"localhost:{listener.port}"],
        "tls": files,
    }


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
