"""Which principal a request comes from: by a named token or a session, of the kinds let in here."""

import base64
import hmac
from collections.abc import Iterable

import structlog

from yoi.errors import TokenError
from yoi.secrets.deployment import DeploymentKey
from yoi.serving.principals import EVERYTHING, Principal, PrincipalKind
from yoi.serving.sessions import PREFIX as SESSION_PREFIX
from yoi.serving.sessions import Sessions
from yoi.serving.tokens import TokenStore
from yoi.types import Clock, Secret

AT_RUNTIME = frozenset({PrincipalKind.UPSTREAM})
AT_BACKEND = frozenset({PrincipalKind.OPERATOR, PrincipalKind.TOKEN})
AT_METRICS = frozenset(PrincipalKind)
"""Whether one of these may read them is for the route to say (serving/health.py)."""

_BACKEND = Principal(name="deployment", kind=PrincipalKind.UPSTREAM, observe=(EVERYTHING,))
_log = structlog.get_logger("yoi.serving")


class Identities:
    """Belongs to the event loop. The file of tokens is looked at again at each request."""

    def __init__(
        self,
        tokens: TokenStore,
        clock: Clock,
        kinds: Iterable[PrincipalKind],
        sessions: Sessions | None = None,
        upstream: Secret | None = None,
    ) -> None:
        """`upstream` is what every backend of the deployment presents at its runtimes."""
        self._upstream = upstream
        self._tokens = tokens
        self._clock = clock
        self._kinds = frozenset(kinds)
        self._sessions = sessions

    def identify(self, presented: str) -> Principal | None:
        """Return the principal that presents this; None for an unknown, expired or unfit token."""
        self.refresh()
        if self._upstream is not None and hmac.compare_digest(
            presented.encode("utf-8", "replace"), self._upstream.reveal().encode()
        ):
            found: Principal | None = _BACKEND
        elif presented.startswith(SESSION_PREFIX):
            found = None if self._sessions is None else self._sessions.verify(presented)
        else:
            found = self._tokens.verify(presented, self._clock.wall_ms())
        return found if found is not None and found.kind in self._kinds else None

    def letting_in(self, kinds: Iterable[PrincipalKind]) -> "Identities":
        """Return the same for other kinds, such as who may read metrics."""
        return Identities(self._tokens, self._clock, kinds, self._sessions, self._upstream)

    def holds(self, principal: Principal) -> bool:
        """Return whether a principal that was let in earlier may stay, seeing what it sees."""
        now = self._clock.wall_ms()
        if principal.expired(now):
            return False
        return not principal.credential or self._tokens.holds(principal, now)

    @property
    def revision(self) -> int:
        """Return a number that grows whenever the tokens were read again and had changed."""
        return self._tokens.revision

    def why_not_ready(self) -> str | None:
        """Return why no new client is let in, or None; a check for readiness."""
        self.refresh()
        return None if self._tokens.fault is None else self._tokens.fault.message

    def refresh(self) -> None:
        """Look at the tokens' file again; one that cannot be used is logged once."""
        known = self._tokens.fault
        try:
            self._tokens.reload()
        except TokenError as exc:
            if known is None or known.message != exc.message:
                _log.error("nobody new is let in", code=exc.code, reason=exc.message)


def upstream_token(key: DeploymentKey) -> Secret:
    """Return what backends of a deployment present at its runtimes."""
    made = base64.urlsafe_b64encode(key.derived("upstream token")).rstrip(b"=").decode()
    return Secret("upstream", f"yoid_{made}")
