"""Build hook: a wheel ships the Python runner; an editable install builds it on first use."""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class RunnerHook(BuildHookInterface):
    """Put the runner component into `yoi/sandbox/_runner/` of a standard wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the runner unless this is an editable install."""
