"""Holds a null character in its source."""

x = "\x00"
exec("y = \x00")
