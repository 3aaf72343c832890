"""How tasks are brought to their end for certain."""

import asyncio
from typing import Any

_AGAIN_S = 2.0


async def ended(*tasks: "asyncio.Future[Any]") -> None:
    """Cancel `tasks` and return when all are over, whatever they raise.

    A task in `asyncio.wait_for` loses a cancellation that comes together with what it waits for
    (Python 3.11), and would go on for ever: what is not over after two seconds is cancelled again.
    """
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_AGAIN_S)
    # Looked at, so that asyncio does not log what nothing waits for.
    await asyncio.gather(*tasks, return_exceptions=True)
