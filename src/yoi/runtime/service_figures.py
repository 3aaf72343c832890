"""What is measured of one service beside its status."""

from collections.abc import Mapping
from dataclasses import dataclass

from yoi.core.histogram import Histogram
from yoi.limits import Limits
from yoi.runtime.ledger import Ledger
from yoi.runtime.service_spec import ServiceSpec


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


def service_figures(
    spec: ServiceSpec, dispatch: Histogram, ledger: Ledger, limits: Limits
) -> ServiceFigures:
    """Return the measures of the service made of `spec`."""
    return ServiceFigures(
        dispatch=dispatch,
        memory_bytes=spec.authority.granted.memory_bytes or limits.guest_memory_bytes,
        out_of_memory=ledger.out_of_memory,
        told=ledger.told,
    )
