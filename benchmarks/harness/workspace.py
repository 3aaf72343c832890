"""A workspace in which the benchmark's plugin is reviewed, granted and enabled, n times."""

from pathlib import Path

import tomlkit

from harness.instruments import HERE
from yoi.packages import Store, add_to_store, read_package
from yoi.testing.trusting import entry_as_requested, trust_workspace

PLUGIN = HERE / "plugin"


def plugin_files(port: int, durability: str = "memory") -> dict[str, bytes]:
    """Return the plugin's package, dialling loopback `port`; where its events wait."""
    files = {path.name: path.read_bytes() for path in PLUGIN.glob("plugin.*")}
    files["plugin.toml"] = files["plugin.toml"].replace(b"PORT", str(port).encode())
    files["plugin.toml"] = files["plugin.toml"].replace(b"memory", durability.encode())
    return files


def write_workspace(folder: Path, port: int, instances: int, durability: str = "memory") -> None:
    """Write a workspace below `folder` with `instances` services, each dialling `port`."""
    source = folder / "source"
    source.mkdir(parents=True)
    for name, data in plugin_files(port, durability).items():
        (source / name).write_bytes(data)
    package = add_to_store(source, Store.project(folder))
    assert package.digest == read_package(source).digest
    entries = [
        entry_as_requested(package, f"bench-{index}").to_table() for index in range(instances)
    ]
    toml = tomlkit.dumps({"plugins": {"enabled": entries}})
    (folder / ".yoi" / "yoi.toml").write_text(toml)
    trust_workspace(folder)
