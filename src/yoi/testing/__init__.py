"""Public fakes, for Yoi's own tests and for everyone who builds on it."""

from yoi.testing.clock import ManualClock

__all__ = ["ManualClock"]
