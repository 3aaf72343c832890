"""Telling a worker what came from outside."""

from typing import ClassVar

from yoi_pdk.host_command import HostCommand, id_of, name_of


class Notify(HostCommand):
    """Put `text` before the agent called `worker`: `Notify("triage", "A customer asks: ...")`.

    Needs the permission `{ kind = "notify", name = "triage" }`, its grant, and a rule in that
    worker's profile. The text becomes a visible item of the worker's history, marked as coming from
    outside; a run may start. Give it an `id` made of what it is about, such as the message's own
    id: the same id is taken once, however often the event is delivered again.
    """

    __slots__ = ("text", "worker")

    kind: ClassVar[str] = "notify"

    def __init__(self, worker: str, text: str, *, id: str | None = None) -> None:
        if not isinstance(text, str) or not text.strip():
            raise TypeError("Notify(worker, text) takes a str that is not empty")
        self.worker = name_of("worker", worker)
        self.text = text
        self.id = id_of(id)
