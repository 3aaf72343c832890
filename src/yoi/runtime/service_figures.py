"""What is measured of one service beside its status."""

from collections.abc import Mapping
from dataclasses import dataclass

from yoi.core.histogram import Histogram


@dataclass(frozen=True, slots=True)
class ServiceFigures:
    """The measures as of now."""

    dispatch: Histogram
    """How long the plugin's calls with events took."""
    memory_bytes: int
    """What the plugin may use."""
    out_of_memory: int
    """How many times it had no more."""
    told: Mapping[str, int]
    """How many diagnostics there were, by severity."""
