"""A NATS server for all tests of this folder."""

import pytest
from tests.journal.nats import running


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory):
    with running(tmp_path_factory.mktemp("nats")) as server:
        yield server
