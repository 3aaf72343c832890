"""Build hook: a wheel ships the Python runner; an editable install builds it on first use."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class RunnerHook(BuildHookInterface):
    """Put the runner component into `yoi/sandbox/_runner/` of a standard wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the runner unless this is an editable install or not a wheel."""
        if self.target_name != "wheel" or version == "editable":
            return
        # `yoi demo` packs it from source, wherever Yoi is installed.
        build_data["force_include"]["examples/echo"] = "yoi/_examples/echo"
        root = Path(self.root)
        builder = _load(root / "src/yoi/sandbox/runner_build.py")
        out = root / "src/yoi/sandbox/_runner"
        record = out / builder.RECORD
        if record.is_file() and builder.source_digest(root) in record.read_text(encoding="utf-8"):
            return
        builder.build(root, out)


def _load(path: Path) -> ModuleType:
    """Return the module at `path` without importing the package, whose dependencies are absent."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(str(path))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
