"""The runtime's own listener: what a backend sees of it, and nothing else (O1, O5, O8)."""

import re
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from yoi.core.observation import Framing
from yoi.protocol.observation import Subject, SubjectKind
from yoi.runtime.observing import Observing
from yoi.serving.admission import Admitted, Declined, UpgradeRequest
from yoi.serving.answers import answer, application, nothing_here
from yoi.serving.authenticator import Authenticator, asgi_headers
from yoi.serving.watcher import Watching

_STREAM = re.compile(r"/v1/(worker|service|board)s/([^/]+)/events/ws")


class ObservationRoutes:
    """The routes of a runtime. `authenticator` says who may come in."""

    def __init__(self, observing: Observing, authenticator: Authenticator) -> None:
        self._observing = observing
        self._authenticator = authenticator

    def app(self) -> Starlette:
        """Return the HTTP app."""
        return application([Route("/v1/inventory", self._inventory, methods=["GET"])])

    async def admit(self, request: UpgradeRequest) -> Admitted | Declined:
        """Decide about a WebSocket. Raises Refused."""
        principal = self._authenticator.admit(request.headers)
        found = _STREAM.fullmatch(request.path)
        if found is None:
            raise nothing_here()
        subject = Subject(SubjectKind(found[1]), unquote(found[2]))
        if not principal.observes(subject):
            return Declined(subject.kind.not_found)
        self._observing.refresh(subject)
        channel = self._observing.hub.channel(subject)
        if channel is None:
            if not self._observing.settled:
                return Declined("runtime_unavailable", "it may not have been started yet")
            return Declined(subject.kind.not_found)
        return Admitted(
            channel=channel,
            feed=channel.feed("", Framing.WEBSOCKET, lambda event: event),
            watching=Watching(str(principal), principal.expires_at_ms, principal),
            cursor=request.query.get("cursor"),
            snapshot_always=request.query.get("snapshot") == "always",
        )

    async def _inventory(self, request: Request) -> Response:
        principal = self._authenticator.admit(asgi_headers(request.scope["headers"]))
        found = self._observing.inventory()
        shown = {
            f"{kind}s": [
                row for row in found[f"{kind}s"] if principal.observes(Subject(kind, row["id"]))
            ]
            for kind in SubjectKind
        }
        return answer(shown)
