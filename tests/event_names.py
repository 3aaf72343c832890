"""The name that an event has on the wire."""

from yoi.protocol.events import Event, UnknownEvent


def event_name(event: Event | UnknownEvent) -> str:
    return event.event if isinstance(event, UnknownEvent) else str(event.__struct_config__.tag)
