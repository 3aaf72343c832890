"""`Authority`: two keys. An action is allowed only if the manifest asks and the operator grants."""

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from yoi.display import printable
from yoi.errors import PermissionDenied, PermissionMalformed
from yoi.limits import LIMITS
from yoi.permissions import hints
from yoi.permissions.addresses import classify, may_dial, undialable
from yoi.permissions.permission import Permission, PermissionKind
from yoi.permissions.targets import METHODS, TargetKind, UrlTarget

if TYPE_CHECKING:
    from yoi.permissions.addresses import IPAddress
    from yoi.permissions.sets import PermissionSet
    from yoi.permissions.url import Url

_LOCALHOST = IPv4Address("127.0.0.1")
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
_Question = tuple[TargetKind, PermissionKind, str, str, "Url"]
"""Which targets, the permission beside them (kind and name), the HTTP method or '', the URL."""


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
        self._answers: dict[_Question, Decision] = {}

    def permission(self, wanted: Permission) -> Decision:
        """Decide whether both sides have `wanted` (or a tool namespace that holds it)."""
        lack = self._without_permission(wanted)
        return _ALLOWED if lack is None else self._denied([lack])

    def websocket(self, url: "Url") -> Decision:
        """Decide a connection that a guest opens and reads itself (the pull API).

        Needs `host_api.websocket` and a WebSocket target, both on both sides.
        """
        return self._answer((TargetKind.WEBSOCKET, PermissionKind.HOST_API, "websocket", "", url))

    def connection(self, name: str, url: "Url") -> Decision:
        """Decide the standing, host-owned connection `name` to `url`.

        Needs its own `connection` permission and a WebSocket target, both on both sides; a pull
        grant is not enough. Asked again on every dial and every send.
        """
        return self._answer((TargetKind.WEBSOCKET, PermissionKind.CONNECTION, name, "", url))

    def request(self, method: str, url: "Url") -> Decision:
        """Decide one HTTP request: `host_api.request` and a target that names the method.

        Methods are compared in upper case, and are sent so.
        """
        return self._answer(
            (TargetKind.REQUEST, PermissionKind.HOST_API, "request", method.upper(), url)
        )

    def _answer(self, question: "_Question") -> Decision:
        known = self._answers.get(question)
        if known is None:
            known = self._decide(question)
            if len(self._answers) >= LIMITS.remembered_decisions:
                self._answers.clear()
            self._answers[question] = known
        return known

    def _decide(self, question: "_Question") -> Decision:
        kind, permission_kind, name, method, url = question
        try:
            needed = Permission(permission_kind, name)
        except PermissionMalformed as malformed:
            return Decision(allowed=False, code="denied.not_requested", message=malformed.message)
        if url.scheme not in kind.schemes or (kind is TargetKind.REQUEST and method not in METHODS):
            what = f"{printable(method, 20)} {url.display}".strip()
            return Decision(
                allowed=False,
                code="denied.unsupported",
                message=f"{what} is nothing that a {kind} target can name",
            )
        asked = _matching(self.requested, kind, url, method)
        given = _matching(self.granted, kind, url, method)
        lacks = [
            self._without_permission(needed),
            None if asked and given else _without_target(kind, url, method, asked, given),
        ]
        found = [lack for lack in lacks if lack is not None]
        return self._denied(found) if found else _allowed(kind, url, asked, given)

    def _without_permission(self, wanted: Permission) -> "_Lack | None":
        asked, given = self.requested.has(wanted), self.granted.has(wanted)
        if asked and given:
            return None
        what = f"{wanted.label} ({wanted.meaning})"
        return _Lack(what, bool(asked), bool(given), hints.permission_lines(wanted))

    def _denied(self, lacks: "list[_Lack]") -> Decision:
        steps = [lack.lines for lack in lacks if not lack.asked]
        if not all(lack.given for lack in lacks):
            steps.append(f"yoi plugin enable {self._plugin}")
        asked = all(lack.asked for lack in lacks)
        return Decision(
            allowed=False,
            code="denied.not_granted" if asked else "denied.not_requested",
            message="; ".join(
                f"{printable(lack.what, 400)} is denied: {_WHY[lack.asked, lack.given]}"
                for lack in lacks
            ),
            hint="\n".join(steps),
        )


@dataclass(frozen=True, slots=True)
class _Lack:
    """One thing that an action needs and one side, or both, do not have."""

    what: str
    asked: bool
    given: bool
    lines: str


_WHY = {
    (True, False): "the manifest asks for it, the operator has not granted it",
    (False, True): "it is granted, but the manifest does not ask for it",
    (False, False): "the manifest does not ask for it, and it is not granted",
}

_Targets = tuple[UrlTarget, ...]


def _matching(side: "PermissionSet", kind: TargetKind, url: "Url", method: str) -> _Targets:
    return tuple(target for target in side.targets(kind) if target.allows(url, method))


def _without_target(
    kind: TargetKind, url: "Url", method: str, asked: _Targets, given: _Targets
) -> _Lack:
    lines = hints.target_lines(hints.target_for(url, kind, method))
    return _Lack(f"{method} {url.display}".strip(), bool(asked), bool(given), lines)


def _allowed(kind: TargetKind, url: "Url", asked: _Targets, given: _Targets) -> Decision:
    """Return the allowed decision, unless the host is itself an address that needs another word."""
    private = any(one.private for one in asked) and any(one.private for one in given)
    literal = _LOCALHOST if url.host == "localhost" else url.ip
    if literal is not None:
        decision = address_decision(literal, url, private)
        if not decision.allowed:
            return decision
    most = min(max(one.max_message_bytes for one in side) for side in (asked, given))
    return Decision(
        allowed=True,
        max_message_bytes=most if kind is TargetKind.WEBSOCKET else None,
        private_addresses=private,
    )


def address_decision(ip: "IPAddress", url: "Url", private_addresses: bool) -> Decision:
    """Decide one resolved address of an allowed `url`, as `may_dial` does, with words.

    `private_addresses` is from the `Decision` for this URL; the code is `denied.address`.
    """
    if may_dial(ip, url, private_addresses):
        return Decision(allowed=True, private_addresses=private_addresses)
    where = f"{url.display} leads to {ip} ({classify(ip)})"
    if undialable(ip):
        why, hint = "where no server can be reached", None
    elif private_addresses:
        why, hint = "which is not an address that this host may have", None
    else:
        why = "which is not public; manifest and grant must both admit that"
        hint = 'addresses = "private"   # in the target, in plugin.toml; then: yoi plugin enable'
    return Decision(allowed=False, code="denied.address", message=f"{where}, {why}", hint=hint)
