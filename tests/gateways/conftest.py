"""What the page shows runs in the same sandbox as every service."""

from tests.runtime.conftest import compiled_runner

__all__ = ["compiled_runner"]
