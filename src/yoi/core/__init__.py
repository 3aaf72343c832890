"""Sans-I/O state machines. Nothing here reads a clock, opens a socket or starts a thread."""
