"""The whole of Yoi as one object: what `yoi serve` runs, opened, offered and closed in order.

This is the only room that joins runtime and backend; the command line parses, calls and prints.
"""

from yoi.host.backend_host import BackendHost
from yoi.host.host import Host
from yoi.host.observing import Observation
from yoi.host.parts import Parts

__all__ = ["BackendHost", "Host", "Observation", "Parts"]
