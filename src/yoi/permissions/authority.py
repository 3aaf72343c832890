"""`Authority`: two keys. An action is allowed only if the manifest asks and the operator grants."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from yoi.display import printable
from yoi.errors import PermissionDenied
from yoi.permissions import hints
from yoi.permissions.permission import Permission, PermissionKind
from yoi.permissions.targets import METHODS, TargetKind, UrlTarget

if TYPE_CHECKING:
    from yoi.permissions.sets import PermissionSet
    from yoi.permissions.url import Url

_REMEMBERED = 1024
_WEBSOCKET_API = Permission(PermissionKind.HOST_API, "websocket")
_REQUEST_API = Permission(PermissionKind.HOST_API, "request")


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Allowed, or denied with a code, a message and the lines that would allow it."""

    allowed: bool
    code: str | None = None
    message: str = ""
    hint: str | None = None
    max_message_bytes: int | None = None
    """For an allowed WebSocket URL: the smaller of what manifest and grant allow."""
    private_addresses: bool = False
    """For an allowed URL: whether both manifest and grant admit addresses that are not public."""

    def require(self) -> "Decision":
        """Return self when allowed; raise `PermissionDenied` otherwise."""
        if self.allowed:
            return self
        raise PermissionDenied(self.code or "denied.not_granted", self.message, hint=self.hint)


_ALLOWED = Decision(allowed=True)


class Authority:
    """Declared AND granted, for one plugin. Immutable, so each answer is remembered.

    `plugin` is the name that `yoi plugin enable` takes, for hints.
    """

    def __init__(
        self, requested: "PermissionSet", granted: "PermissionSet", *, plugin: str = "PLUGIN"
    ) -> None:
        self.requested = requested
        self.granted = granted
        self._plugin = printable(plugin, 200)
        # Asked for every frame; bounded because guests choose URLs.
        self._known: dict[tuple[str, str, Url], Decision] = {}

    def permission(self, wanted: Permission) -> Decision:
        """Decide whether both sides have `wanted` (or a tool namespace that holds it)."""
        asked, given = self.requested.has(wanted), self.granted.has(wanted)
        if asked and given:
            return _ALLOWED
        what = f"{wanted.label} ({wanted.meaning})"
        line = f"permissions = [{hints.permission_line(wanted)}]"
        return self._deny(asked, given, what, line, line)

    def websocket(self, url: "Url") -> Decision:
        """Decide a connection that a guest opens and reads itself (the pull API).

        Needs `host_api.websocket` and a WebSocket target, both on both sides.
        """
        return self._remember(("websocket", "", url), _WEBSOCKET_API)

    def connection(self, name: str, url: "Url") -> Decision:
        """Decide the standing, host-owned connection `name` to `url`.

        Needs its own `connection` permission and a WebSocket target, both on both sides; a pull
        grant is not enough. Asked again on every dial and every send.
        """
        return self._remember(
            ("connection", name, url), Permission(PermissionKind.CONNECTION, name)
        )

    def request(self, method: str, url: "Url") -> Decision:
        """Decide one HTTP request: `host_api.request` and a target that names the method."""
        return self._remember(("request", method.upper(), url), _REQUEST_API)

    def _remember(self, key: "tuple[str, str, Url]", needed: Permission) -> Decision:
        known = self._known.get(key)
        if known is None:
            known = self._decide(key, needed)
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[key] = known
        return known

    def _decide(self, key: "tuple[str, str, Url]", needed: Permission) -> Decision:
        what, detail, url = key
        decision = self.permission(needed)
        if not decision.allowed:
            return decision
        if what == "request":
            return self._target(url, TargetKind.REQUEST, detail)
        return self._target(url, TargetKind.WEBSOCKET, "")

    def _target(self, url: "Url", kind: TargetKind, method: str) -> Decision:
        asked = _matching(self.requested, kind, url, method)
        given = _matching(self.granted, kind, url, method)
        if asked and given:
            sizes = (
                max(target.max_message_bytes for target in asked),
                max(target.max_message_bytes for target in given),
            )
            return Decision(
                allowed=True,
                max_message_bytes=min(sizes) if kind is TargetKind.WEBSOCKET else None,
                private_addresses=any(target.private for target in asked)
                and any(target.private for target in given),
            )
        what = f"{method} {url.display}".strip()
        if url.scheme not in kind.schemes or (kind is TargetKind.REQUEST and method not in METHODS):
            return Decision(
                allowed=False,
                code="denied.unsupported",
                message=f"{printable(what, 600)} is not something a {kind} target can name",
            )
        narrow = hints.target_line(hints.target_for(url, kind, method))
        granting = hints.target_line(asked[0]) if asked else narrow
        return self._deny(
            bool(asked), bool(given), what, f"{kind} = [{narrow}]", f"{kind} = [{granting}]"
        )

    def _deny(self, asked: bool, given: bool, what: str, ask: str, give: str) -> Decision:
        steps = []
        if not asked:
            steps.append(f"in plugin.toml: {ask}")
        if not given:
            steps.append(f"yoi plugin enable {self._plugin}")
            steps.append(f"or in yoi.toml, under its [plugins.enabled.grants]: {give}")
        if asked:
            code, why = (
                "denied.not_granted",
                "the manifest asks for it, the operator has not granted it",
            )
        elif given:
            code, why = (
                "denied.not_requested",
                "it is granted, but the manifest does not ask for it",
            )
        else:
            code, why = (
                "denied.not_requested",
                "the manifest does not ask for it, and it is not granted",
            )
        return Decision(
            allowed=False,
            code=code,
            message=f"{printable(what, 600)} is denied: {why}",
            hint="\n".join(steps),
        )


def _matching(
    side: "PermissionSet", kind: TargetKind, url: "Url", method: str
) -> tuple[UrlTarget, ...]:
    targets = side.websocket if kind is TargetKind.WEBSOCKET else side.request
    return tuple(target for target in targets if target.allows(url, method))
