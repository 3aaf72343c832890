"""Raises while it is loaded."""

raise KeyboardInterrupt("while it is loaded")
