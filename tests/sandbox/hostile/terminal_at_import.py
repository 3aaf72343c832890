"""Terminal sequences from its first line on."""

raise type("\x1b[2J", (Exception,), {})("\x1b]0;owned\x07")
