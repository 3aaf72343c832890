"""The way of a command from a client of a backend to a worker of this process."""

from typing import Any

from yoi.control.server import Method
from yoi.protocol.observation import Subject, SubjectKind
from yoi.runtime.worker_manager import WorkerManager
from yoi.serving.principals import Principal
from yoi.workers.commands import carry_out

COMMAND = "worker.command"
"""The method by which a backend elsewhere sends one: another machine's, no control socket's."""


def worker_commands(workers: WorkerManager) -> Method:
    """Return the method `worker.command`; history records the principal that it names."""

    async def carried_out(params: dict[str, Any]) -> Any:
        worker = workers[str(params["name"])]
        return await carry_out(
            worker, str(params["command"]), params["arguments"], str(params["by"])
        )

    return carried_out


class LocalCommands:
    """A `yoi.backend.commands.CommandPort` to the workers of the runtime `runtime_id`, in here."""

    def __init__(self, runtime_id: str, workers: WorkerManager) -> None:
        self._runtime_id = runtime_id
        self._workers = workers

    def reaches(self, subject: Subject) -> bool:
        """Return whether it is a worker of this runtime."""
        return subject.kind is SubjectKind.WORKER and subject.runtime_id == self._runtime_id

    async def send(
        self, subject: Subject, command: str, arguments: dict[str, Any], principal: Principal
    ) -> Any:
        """Carry out `command`; history records the principal. Raises WorkerError."""
        return await carry_out(self._workers[subject.name], command, arguments, str(principal))
