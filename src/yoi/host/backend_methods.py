"""What the control socket of a process with a backend answers, too."""

from collections.abc import Mapping
from typing import Any

from yoi.backend.server import Backend
from yoi.control.server import Method

Methods = Mapping[str, Method]


def backend_methods(backend: Backend, runtime_id: str) -> Methods:
    """Return what the control socket of a process with a backend answers, too.

    The socket admits only the account that runs the process, so its clients are the operator.
    """

    async def access(_: dict[str, Any]) -> Any:
        session = backend.new_session()
        return {
            "url": backend.url,
            "token": session.token.reveal(),
            "runtime_id": runtime_id,
            "expires_at_ms": session.expires_at_ms,
        }

    async def console(_: dict[str, Any]) -> Any:
        return {"url": backend.new_console_url()}

    return {"observation.access": access, "observation.console": console}
