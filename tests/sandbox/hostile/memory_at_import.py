"""Fills its memory while it is loaded."""

KEEP = [bytearray(1 << 20) for _ in range(10**6)]
