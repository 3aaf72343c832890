"""The version of this distribution, for every room that shows it."""

__version__ = "0.1.0"
