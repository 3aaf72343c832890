"""Where the host keeps what it may rebuild."""

from yoi.sandbox.runner import user_cache as cache_dir

__all__ = ["cache_dir"]
