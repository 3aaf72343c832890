"""placeholder while the framework is tried."""


def doctor() -> None:
    """Placeholder."""
