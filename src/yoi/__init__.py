"""Yoi: untrusted code decides, the host acts, a person can see."""

__version__ = "0.1.0"
