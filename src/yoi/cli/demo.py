"""placeholder while the framework is tried."""


def demo() -> None:
    """Placeholder."""
