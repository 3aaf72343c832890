"""`CurrentVersion`: which version of a plugin its service runs now; a replacement changes it.

The parts of a service look here whenever they need something of the package or its grants.
"""

from dataclasses import dataclass

from yoi.runtime.instance_slot import InstanceSlot
from yoi.runtime.service_spec import ServiceSpec


@dataclass(slots=True)
class CurrentVersion:
    """See the module docstring."""

    spec: ServiceSpec
    slot: InstanceSlot
