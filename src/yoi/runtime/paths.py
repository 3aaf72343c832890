"""Where the host keeps what it may rebuild."""

import os
from pathlib import Path


def cache_dir() -> Path:
    """Return this account's cache directory for Yoi (XDG Base Directory); not created here."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "yoi"
