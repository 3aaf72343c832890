"""Refusals that several routes give, each made once, so that they are equal to the byte."""

from yoi.protocol.observation import OBSERVATION_CODES, Subject
from yoi.serving.admission import Refused


def not_found(subject: Subject) -> Refused:
    """Return the refusal for what is not there, or must look so."""
    name = subject.kind.not_found
    return Refused(404, name, OBSERVATION_CODES[name].words)


def upgrade_required() -> Refused:
    """Return the refusal for a WebSocket's route that was asked for as a page."""
    return Refused(426, "upgrade_required", "this is a WebSocket; plain HTTP has /events/sse")


def malformed(message: str) -> Refused:
    """Return the refusal for a request that cannot be read."""
    return Refused(400, "bad_request", message)
