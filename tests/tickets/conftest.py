"""A workspace with an empty store, and one with the corpus."""

import shutil
from pathlib import Path

import pytest

from yoi.limits import LIMITS
from yoi.testing.clock import ManualClock
from yoi.tickets.store import Change, TicketStore

CORPUS = Path(__file__).parents[1] / "data/tickets"
ME = Change("ada", "2026-01-01T12:00:00Z")


@pytest.fixture
def store(tmp_path):
    return TicketStore(tmp_path, ManualClock(), LIMITS)


@pytest.fixture
def corpus(tmp_path):
    """The corpus, writable: git keeps no empty folder, so artifacts/ may be missing."""
    shutil.copytree(CORPUS, tmp_path / ".yoi/tickets")
    return TicketStore(tmp_path, ManualClock(), LIMITS)
