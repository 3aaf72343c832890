"""What an operator's log says of a runtime that cannot be asked."""

import structlog

from yoi.backend.remote_source import RemoteSource
from yoi.backend.source import Availability
from yoi.types import SystemClock


async def test_a_token_that_nobody_stored_is_not_one_that_was_refused():
    """The operator of the backend is to look into its own secret store, not at the runtime."""
    source = RemoteSource("west", "ws://127.0.0.1:1", lambda: None, clock=SystemClock())
    with structlog.testing.capture_logs() as logged:
        await source.ask()
        await source.ask()
    assert source.availability is Availability.UNAVAILABLE
    assert [(line["code"], line["runtime"]) for line in logged] == [("secret.missing", "west")]
