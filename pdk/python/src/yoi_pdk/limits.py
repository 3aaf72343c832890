"""The host's bounds that a plugin can meet. The host checks them again."""

COMMANDS_PER_EVENT = 64
"""Output commands in one answer."""

MESSAGE_BYTES = 16 * 1024 * 1024
"""Text or data of one message, in UTF-8 bytes: the most that a target may allow."""

DOCUMENT_BYTES = 1024 * 1024
"""A message given as a JSON document, or any other text of a command, in UTF-8 bytes."""

ID_BYTES = 128
"""A command id or connection name, in UTF-8 bytes."""

STATUS_BYTES = 64 * 1024
"""A status, as JSON."""

POINTER_CHARS = 512
"""A JSON pointer."""

MESSAGE_PARTS = 16
"""Literal texts and documents of one message."""

INSERTIONS = 16
"""Places of one message that the host fills in."""

CAPTURES = 8
"""Values taken out of one HTTP answer."""

HANDSHAKE_HEADERS = 16
"""Headers, or query fields, that `Open` adds."""

CLOSE_REASON_BYTES = 123
"""A close reason, in UTF-8 bytes (RFC 6455 5.5.1)."""

HEARTBEAT_MIN_MS = 1_000
HEARTBEAT_MAX_MS = 3_600_000
"""Between two heartbeats of one connection."""

TIMER_MIN_MS = 10
TIMER_MAX_MS = 86_400_000
"""From `TimerSet` to its event."""

DEFERRED_MAX_MS = 300_000
"""From `Defer` to `Complete`."""

REQUEST_HEADERS = 32
"""Headers, or query fields, of one request."""

STATE_VALUE_BYTES = 64 * 1024
"""One value of the durable state, as JSON."""

MATCH_VALUES = 32
"""Values of one `one_of`."""

PREFIX_CHARS = 128
"""A prefix that a match looks for."""
