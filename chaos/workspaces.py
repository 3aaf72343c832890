"""The folders that runtimes and backends are started in: workers, a plugin, tokens, addresses."""

import random
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomlkit

from chaos.children import ROOT, yoi
from chaos.plan import RUNTIMES, WORKERS
from yoi.packages import Store, add_to_store
from yoi.serving.principals import Redaction
from yoi.serving.token_entries import TokenKind
from yoi.serving.tokens import TokenStore, tokens_file
from yoi.testing.trusting import entry_as_requested, trust_workspace, workspace_id

_PLUGIN = ROOT / "chaos" / "plugin"
_LONG = " ".join(f"{number % 10}" for number in range(500))
_PORTS = range(12_000, 30_000)
"""Below those that the kernel gives to clients: a server that was killed gets its port again."""


_given: set[int] = set()
"""Worlds run side by side, and a port is chosen long before it is used."""


def free_ports(count: int) -> list[int]:
    """Return loopback ports that nobody uses now, and nobody was given before."""
    found: list[int] = []
    while len(found) < count:
        port = random.choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in _given:
            _given.add(port)
            found.append(port)
    return found


def write_runtime(folder: Path, runtime: str, port: int, names: list[str], model: int) -> str:
    """Write a runtime's workspace; return the token for backends and the witness."""
    package = add_to_store(_PLUGIN, Store.project(folder))
    document = {
        "runtime": {"listen": f"127.0.0.1:{port}", "names": names},
        "plugins": {"enabled": [entry_as_requested(package, "notes").to_table()]},
        "workers": [_worker(name, model) for name in WORKERS[runtime]],
    }
    _write(folder, document)
    _, token = TokenStore(tokens_file(folder), owner=workspace_id(folder)).create(
        "reader", kind=TokenKind.UPSTREAM
    )
    return token.reveal()


def write_backend(
    folder: Path,
    port: int,
    names: list[str],
    upstreams: Mapping[str, tuple[int, str]],
    *,
    persist: bool,
) -> dict[str, str]:
    """Write a backend's workspace; return the tokens of observers, `full` and `hidden`.

    `upstreams` has, by runtime, the port to reach it at and the token it gave.
    """
    folder.mkdir(parents=True)
    rows = [
        {"id": runtime, "url": f"ws://127.0.0.1:{upstreams[runtime][0]}", "token": f"of-{runtime}"}
        for runtime in RUNTIMES
    ]
    document = {
        "observation": {"listen": f"127.0.0.1:{port}", "names": names, "persist": persist},
        "secrets": {"key_file": "secrets.key"},
        "backend": {"runtimes": rows},
    }
    _write(folder, document)
    for runtime, (_, token) in upstreams.items():
        command = yoi("secret", "set", f"of-{runtime}", "--stdin", "--workspace", str(folder))
        subprocess.run(command, input=token.encode(), check=True, capture_output=True)
    store = TokenStore(tokens_file(folder), owner=workspace_id(folder))
    _, full = store.create("full")
    _, hidden = store.create("hidden", redact=list(Redaction))
    return {"full": full.reveal(), "hidden": hidden.reveal()}


def _write(folder: Path, document: dict[str, Any]) -> None:
    (folder / ".yoi").mkdir(mode=0o700, exist_ok=True)
    path = folder / ".yoi" / "yoi.toml"
    path.write_text(tomlkit.dumps(document))
    path.chmod(0o600)
    trust_workspace(folder)


def _worker(name: str, model: int) -> dict[str, Any]:
    tools = [
        {"plugin": "notes", "tool": "note", "approval": "auto"},
        {"plugin": "notes", "tool": "sign", "approval": "ask"},
    ]
    if name == "teller":
        return {
            "name": name,
            "model": "openai-compatible:m",
            "base_url": f"http://127.0.0.1:{model}/v1",
            "tools": tools,
        }
    argument = {"text": "canary-argument"}
    script = [
        {"when": "tool", "say": "I use a tool.", "call": "note", "arguments": argument},
        {"when": "ask", "say": "I ask first.", "call": "sign", "arguments": argument},
        {"when": "long", "say": _LONG},
        {"say": "Noted."},
    ]
    return {"name": name, "model": "scripted", "tools": tools, "script": script}
