"""What every test relies on, wherever pytest was started from."""

import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

# On a busy machine one example may take much longer than the next: Hypothesis sets no deadline.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture(scope="session", autouse=True)
def _signals_as_a_terminal_has_them() -> Iterator[None]:
    """A shell under nohup, or one that starts in the background, ignores some of them.

    The tests' children inherit what stands here.
    """
    wanted = {signal.SIGHUP: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}
    before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
