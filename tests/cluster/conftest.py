"""A server for each module; and a test leaves no process behind, whatever it ends with."""

import contextlib

import pytest
from tests.cluster.test_takeover import HostProcess
from tests.journal.nats import running


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running(tmp_path_factory.mktemp("nats")) as made:
        yield made


@pytest.fixture(autouse=True)
async def _processes_end():
    yield
    for child in HostProcess.children:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
        await child.communicate()
    HostProcess.children.clear()
