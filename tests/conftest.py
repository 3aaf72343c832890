"""What every test has: a state folder of its own, so that no test decides for the account."""

import os

import pytest


@pytest.fixture(scope="session", autouse=True)
def _state_home(tmp_path_factory):
    before = os.environ.get("XDG_STATE_HOME")
    os.environ.pop("YOI_STATE_HOME", None)
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))
    yield
    os.environ.pop("XDG_STATE_HOME")
    if before is not None:
        os.environ["XDG_STATE_HOME"] = before
