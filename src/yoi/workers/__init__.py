"""Workers: agents whose context is a pure function of what is committed and visible."""
