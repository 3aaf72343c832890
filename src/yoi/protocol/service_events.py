"""Service events: what observers of one plugin's service are shown.

    {"event": "service_status", "data": {"status": {...}}}

`status` is a ServiceStatus (protocol/status.py) without its recent diagnostics and command results:
those come as events of their own, or not at all.
"""

from typing import Any

import msgspec

from yoi.errors import ProtocolMalformed
from yoi.limits import LIMITS
from yoi.protocol.diagnostics import Diagnostic
from yoi.protocol.events import Count, UnknownEvent, unknown_event


class ServiceSnapshotData(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The service as of one moment. `left_out` counts older diagnostics that are not in it."""

    status: dict[str, Any]
    diagnostics: list[dict[str, Any]]
    left_out: Count = 0
    redacted: bool = False


class ServiceStatusData(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The status replaces the one before."""

    status: dict[str, Any]
    redacted: bool = False


class _Event(msgspec.Struct, tag_field="event", gc=False):
    """The base of every service event."""


class ServiceSnapshot(_Event, tag="service_snapshot"):
    """The service as of one moment."""

    data: ServiceSnapshotData


class ServiceStatusChanged(_Event, tag="service_status"):
    """Its lifecycle, a connection, its queue or a counter changed."""

    data: ServiceStatusData


class ServiceDiagnosed(_Event, tag="diagnostic"):
    """Something happened: a refusal, a gap, a state change. `data` is a Diagnostic's JSON."""

    data: dict[str, Any]


class ServiceStopped(_Event, tag="service_stopped"):
    """The service was disabled; nothing follows."""


ServiceEvent = ServiceSnapshot | ServiceStatusChanged | ServiceDiagnosed | ServiceStopped

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[ServiceEvent] = msgspec.json.Decoder(ServiceEvent)


def diagnosed(entry: Diagnostic) -> ServiceDiagnosed:
    """Return the event of one diagnostic."""
    return ServiceDiagnosed(msgspec.to_builtins(entry))


def encode_service_event(event: ServiceEvent) -> bytes:
    """Return `event` as one JSON object."""
    return _encoder.encode(event)


def decode_service_event(data: bytes | str) -> ServiceEvent | UnknownEvent:
    """Return the event in `data`; what this version cannot read is an UnknownEvent.

    Raises ProtocolMalformed when `data` is not a JSON object with a short text under `event`.
    """
    if len(data) > LIMITS.observed_event_bytes:
        raise ProtocolMalformed("protocol.malformed", "the event is over its bound")
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return unknown_event(data)
