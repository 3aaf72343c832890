"""Clients of a backend that mean harm: nothing in the log, nobody else harmed."""

import logging

import pytest
import structlog
from tests.backend.served import Caller, Runtime, backend
from tests.serving.raw import connected


@pytest.fixture
def logged(caplog):
    """Return what was logged, by libraries and by Yoi."""
    caplog.set_level(logging.WARNING)
    with structlog.testing.capture_logs() as own:
        yield lambda: [*own, *caplog.records]


HALF = {
    "half a body": b"Content-Length: 100\r\n\r\n{",
    "half a chunk": b"Transfer-Encoding: chunked\r\n\r\n5\r\n{",
    "what is no chunk": b"Transfer-Encoding: chunked\r\n\r\nzzz\r\n",
}


@pytest.mark.parametrize("rest", HALF.values(), ids=HALF)
async def test_a_client_that_leaves_in_the_middle_of_a_body_is_no_defect(
    tmp_path, rest, logged
) -> None:
    async with backend(tmp_path, Runtime("triage").local()) as served:
        authority = Caller(served, None).authority
        host, _, port = authority.rpartition(":")
        head = f"POST /api/session HTTP/1.1\r\nHost: {authority}\r\n".encode()
        head += b"Content-Type: application/json\r\nExpect: 100-continue\r\n"
        start, _, rest = rest.partition(b"\r\n\r\n")
        async with connected((host, int(port)), head + start + b"\r\n\r\n") as client:
            await client.until(b"100 Continue")  # somebody waits for the body
            client.writer.write(rest)
            await client.writer.drain()
    assert not logged()
