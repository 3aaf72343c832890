"""The host's bounds that a plugin can meet. The host checks them again."""

COMMANDS_PER_EVENT = 64
"""Output commands in one answer."""

COMMAND_PAYLOAD_BYTES = 1024 * 1024
"""Text or data of one command, in UTF-8 bytes; a connection's own bound may be smaller."""

ID_BYTES = 128
"""A command id or connection name, in UTF-8 bytes."""

STATUS_BYTES = 64 * 1024
"""A status, as JSON."""
