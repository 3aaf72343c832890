"""`/healthz`, `/readyz` and `/metrics`, for runtime and backend alike.

The first two need no token, and say nothing that a stranger may not know: a name and yes or no.
"""

from collections.abc import Callable

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from yoi.serving.admission import Refused
from yoi.serving.answers import answer, refusal
from yoi.serving.authenticator import Headers, asgi_headers
from yoi.serving.metrics import CONTENT_TYPE, Metrics
from yoi.serving.principals import EVERYTHING, Principal, PrincipalKind

Check = Callable[[], str | None]
"""Returns None when all is well, else why not, in words for the operator's log."""
_log = structlog.get_logger("yoi.serving")


class Readiness:
    """Named checks that together say whether clients should be sent here."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}
        self._failing: dict[str, str] = {}

    def add(self, name: str, check: Check) -> None:
        """Ask `check` from now on; it must not wait. One of the same name is replaced."""
        self._checks[name] = check

    def look(self) -> dict[str, bool]:
        """Return which checks pass; why one began to fail, or passes again, is logged once."""
        found = {}
        for name, check in self._checks.items():
            try:
                why = check()
            except Exception as exc:
                why = f"the check failed: {type(exc).__name__}"
            found[name] = why is None
            self._tell(name, why)
        return found

    def _tell(self, name: str, why: str | None) -> None:
        if why is None:
            if self._failing.pop(name, None) is not None:
                _log.info("ready again", check=name)
        elif self._failing.get(name) != why:
            self._failing[name] = why
            _log.warning("not ready", check=name, reason=why)


def health_routes(
    readiness: Readiness, metrics: Metrics, admit: Callable[[Headers], Principal]
) -> list[Route]:
    """Return the three routes. `admit` lets in readers of metrics, too."""

    async def healthz(_: Request) -> Response:
        return answer({"status": "ok"})

    async def readyz(_: Request) -> Response:
        checks = readiness.look()
        ready = all(checks.values())
        return answer({"ready": ready, "checks": checks}, 200 if ready else 503)

    async def figures(request: Request) -> Response:
        try:
            _may_read(admit(asgi_headers(request.scope["headers"])))
        except Refused as exc:
            return refusal(exc)
        headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
        return Response(metrics.text(), media_type=CONTENT_TYPE, headers=headers)

    return [
        Route("/healthz", healthz, methods=["GET"]),
        Route("/readyz", readyz, methods=["GET"]),
        Route("/metrics", figures, methods=["GET"]),
    ]


def _may_read(principal: Principal) -> None:
    """Figures are of everything here, so only who may see everything reads them."""
    if principal.kind is not PrincipalKind.METRICS and EVERYTHING not in principal.observe:
        raise Refused(403, "forbidden", "this token may not read metrics")
