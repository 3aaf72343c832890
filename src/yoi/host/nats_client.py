"""The NATS client is loaded only where `[cluster]` stands; where it is missing, that is said."""

import contextlib
from collections.abc import Iterator

from yoi.cluster.settings import missing_client


@contextlib.contextmanager
def needing_nats() -> Iterator[None]:
    """Import what needs the NATS client in this block. Raises ClusterError where it is missing."""
    try:
        yield
    except ModuleNotFoundError as exc:
        raise missing_client(exc) from None
