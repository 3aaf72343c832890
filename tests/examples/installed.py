"""`Installed`: a workspace with one example, its addresses those of a test's own gateway."""

import asyncio
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from tests.runtime.heard import Heard
from tests.runtime.hosts import watching_host

from yoi.host import Host
from yoi.packages import EnabledEntry, Package, Store, add_to_store, read_package
from yoi.packages.edits import write_enablement
from yoi.permissions import PermissionSet
from yoi.runtime.workspace import operator_file
from yoi.secrets import Settings, open_store
from yoi.types import InstanceName

EXAMPLES = Path(__file__).parents[2] / "examples"
G = TypeVar("G")


class NoPrompt:
    """A prompt that is not answered: the key is in a file."""

    def passphrase(self) -> str:
        raise AssertionError("asked for a passphrase")

    new_passphrase = passphrase


@dataclass
class Installed(Generic[G]):
    """See the module docstring. A subclass names its example and says what differs here."""

    example: ClassVar[str]
    instance: ClassVar[str]

    folder: Path
    gateway: G
    diagnostics: Heard = field(default_factory=Heard)

    def addresses(self) -> tuple[tuple[str, str], ...]:
        """Return what the manifest has for the real service, and what stands for it here."""
        raise NotImplementedError

    def source(self, text: str) -> str:
        """Return a source file as it is run here."""
        return text

    def keep(self, name: str, value: str) -> None:
        """`yoi secret set NAME`."""
        (self.folder / ".yoi").mkdir(exist_ok=True)
        open_store(self.folder, Settings.load(self.folder), NoPrompt()).set(name, value)

    def lose(self, name: str) -> None:
        """`yoi secret remove NAME`."""
        open_store(self.folder, Settings.load(self.folder), NoPrompt()).remove(name)

    def install(self) -> PermissionSet:
        """Pack the example into the workspace's store; return what it asks for."""
        example, source = EXAMPLES / self.example, self.folder / "source"
        source.mkdir()
        for path in example.glob("*.py"):
            if path.name.startswith("test_"):
                continue
            (source / path.name).write_text(self.source(path.read_text()))
        manifest = (example / "plugin.toml").read_text()
        for theirs, ours in self.addresses():
            assert theirs in manifest
            manifest = manifest.replace(theirs, ours)
        (source / "plugin.toml").write_text(manifest)
        add_to_store(source, Store.project(self.folder))
        return self._package().manifest.requested

    def enable(self, granted: PermissionSet, **config: Any) -> None:
        """`yoi plugin enable`, with the example's own worker where it has one."""
        package = self._package()
        write_enablement(
            operator_file(self.folder),
            EnabledEntry(
                reference=f"project:{self.example}",
                name=InstanceName(self.instance),
                version=package.manifest.version,
                digest=package.digest,
                granted=granted,
                config=config,
            ),
        )
        worker = EXAMPLES / self.example / "worker.toml"
        if worker.exists():
            with operator_file(self.folder).open("a") as file:
                file.write(worker.read_text())

    def runtime(self) -> Host:
        """Return a host of the workspace in this process."""
        return watching_host(self.folder, self.diagnostics.append)

    async def serve(self) -> asyncio.subprocess.Process:
        """Return a `yoi serve` of its own, to be killed."""
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "yoi", "serve", "--trust-workspace", "--port", "0",
            cwd=self.folder,
            env={**os.environ, "YOI_LOG": "error"}, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip

    def said(self, words: str) -> bool:
        """Return whether a diagnostic has these words."""
        return any(words in entry.message for entry in self.diagnostics)

    def _package(self) -> Package:
        return read_package(next(Store.project(self.folder).path.iterdir()), "project")
