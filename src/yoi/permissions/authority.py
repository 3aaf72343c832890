"""`Authority`: two keys. An action is allowed only if the manifest asks and the operator grants."""

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from yoi.display import printable
from yoi.errors import PermissionDenied, PermissionMalformed
from yoi.limits import LIMITS
from yoi.permissions import hints, uses
from yoi.permissions.addresses import classify, looks_routed, may_dial, undialable
from yoi.permissions.methods import METHODS
from yoi.permissions.permission import Permission, PermissionKind
from yoi.permissions.places import Position
from yoi.permissions.pointers import JsonPointer
from yoi.permissions.reviews import Review, review
from yoi.permissions.secrets import CLIENT_CERTIFICATE
from yoi.permissions.targets import TargetKind, UrlTarget
from yoi.toml import is_safe_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from yoi.permissions.hosts import IPAddress
    from yoi.permissions.secrets import SecretUse
    from yoi.permissions.sets import PermissionSet
    from yoi.permissions.url import Url

_LOCALHOST = IPv4Address("127.0.0.1")
_ADDRESSES_SHOWN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Allowed, or denied with a code, a message and the lines that would allow it."""

    allowed: bool
    code: str | None = None
    message: str = ""
    hint: str | None = None
    max_message_bytes: int | None = None
    """For an allowed URL: the largest message, or answer, that both manifest and grant allow."""
    private_addresses: bool = False
    """For an allowed URL: whether both manifest and grant admit addresses that are not public."""
    secret: str | None = None
    """For an allowed secret or rotation: its name in the operator's store."""

    def require(self) -> "Decision":
        """Return self when allowed; raise `PermissionDenied` otherwise."""
        if self.allowed:
            return self
        raise PermissionDenied(self.code or "denied.not_granted", self.message, hint=self.hint)


_ALLOWED = Decision(allowed=True)
_Question = tuple[TargetKind, PermissionKind, str, str, "Url", str | None]
"""Which targets, the permission beside them (kind and name), the HTTP method or '', the URL, and
the name that the target must have."""


class Authority:
    """Declared AND granted, for one plugin. Each answer is remembered until the grants change.

    `plugin` is what `yoi plugin enable` takes to review it again, for hints.
    """

    def __init__(
        self, requested: "PermissionSet", granted: "PermissionSet", *, plugin: str = "PLUGIN"
    ) -> None:
        self.requested = requested
        self.granted = granted
        self.generation = 0
        """Counts the grants that were in force; what was decided under another is void."""
        self._plugin = printable(plugin, 200)
        # Asked for every frame; bounded because guests choose URLs.
        self._answers: dict[_Question, Decision] = {}
        self._review: Review | None = None

    def regrant(self, granted: "PermissionSet") -> None:
        """Put other grants in force, for everybody who holds this authority."""
        self.granted = granted
        self.generation += 1
        self._answers.clear()
        self._review = None

    def review(self) -> Review:
        """Return the review of the grants in force; the same object until they change."""
        if self._review is None:
            self._review = review(self.requested, self.granted)
        return self._review

    @property
    def memory_bytes(self) -> int:
        """The memory that the guest gets when it is next loaded: what both sides say."""
        return min(self.requested.memory, self.granted.memory)

    @property
    def message_bytes(self) -> int:
        """The largest message that a WebSocket target of the manifest allows, if granted."""
        return max((one.max_message_bytes for one in self.requested.websocket), default=0)

    def permission(self, wanted: Permission) -> Decision:
        """Decide whether both sides have `wanted` (or a tool namespace that holds it)."""
        lack = self._without_permission(wanted)
        return _ALLOWED if lack is None else self._denied([lack])

    def websocket(self, url: "Url") -> Decision:
        """Decide a connection that a guest opens and reads itself (the pull API).

        Needs `host_api.websocket` and a WebSocket target, both on both sides.
        """
        return self._answer(
            (TargetKind.WEBSOCKET, PermissionKind.HOST_API, "websocket", "", url, None)
        )

    def connection(self, name: str, url: "Url") -> Decision:
        """Decide the standing, host-owned connection `name` to `url`.

        Needs its own `connection` permission and a WebSocket target, both on both sides; a pull
        grant is not enough. Asked again on every dial and every send.
        """
        return self._answer((TargetKind.WEBSOCKET, PermissionKind.CONNECTION, name, "", url, None))

    def request(self, method: str, url: "Url", target: str | None = None) -> Decision:
        """Decide one HTTP request: `host_api.request` and a target that names the method.

        Methods are compared in upper case, and are sent so. With `target`, only the targets of that
        name count, on both sides: what is bound to the name goes nowhere else.
        """
        return self._answer(
            (TargetKind.REQUEST, PermissionKind.HOST_API, "request", method.upper(), url, target)
        )

    def may_repeat(self, target: str) -> bool:
        """Return whether a request to the target `target` may be made a second time.

        It may where both sides say that it is idempotent.
        """
        sides = (self.requested.request, self.granted.request)
        return all(any(one.name == target and one.idempotent for one in side) for side in sides)

    def secret(
        self,
        name: str,
        at: Position,
        *,
        connection: str | None = None,
        request: str | None = None,
    ) -> Decision:
        """Decide whether the plugin's secret `name` may be inserted `at` a position of one goal.

        Exactly one of `connection` and `request` names the goal. Needs the use and a place on
        both sides, and the goal itself; whether a URL is within the goal is asked beside this.
        Allowed: `secret` is the store's name. Codes: `denied.not_requested`, `denied.not_granted`,
        `denied.secret_place`.
        """
        goal = _goal(connection, request)
        way, given = uses.way_of_secret(self.requested, self.granted, name, goal, at)
        denied = self._way_denied(
            way,
            goal,
            at,
            f"yoi plugin enable {self._plugin} --secret {_shown_name(name)}=STORE_NAME",
        )
        if denied is not None:
            return denied
        assert given is not None, "a way with both sides has a granted use"
        return Decision(allowed=True, secret=given.secret)

    def signing(
        self, name: str, *, connection: str | None = None, request: str | None = None
    ) -> "SecretUse":
        """Return the granted use of the key `name`, with which something for one goal is signed.

        Raises PermissionDenied (`denied.not_requested`, `denied.not_granted`) unless manifest and
        grant have the same shape, and the goal itself.
        """
        goal = _goal(connection, request)
        way, given = uses.way_of_signature(self.requested, self.granted, name, goal)
        denied = self._without_way(
            way, goal, f"yoi plugin enable {self._plugin} --secret {_shown_name(name)}=STORE_NAME"
        )
        if denied is not None:
            denied.require()
        assert given is not None, "a way with both sides has a granted use"
        return given

    def signed_secret(
        self, name: str, *, connection: str | None = None, request: str | None = None
    ) -> Decision:
        """Decide whether the value of the secret `name` may be a part of what is signed for a goal.

        It may where both sides let it go to that goal at all. Allowed: `secret` is the store's
        name. Codes: `denied.not_requested`, `denied.not_granted`.
        """
        goal = _goal(connection, request)
        where = Position(JsonPointer(("",)))
        way, given = uses.way_of_secret(self.requested, self.granted, name, goal, where)
        denied = self._without_way(
            way, goal, f"yoi plugin enable {self._plugin} --secret {_shown_name(name)}=STORE_NAME"
        )
        if denied is not None:
            return denied
        assert given is not None, "a way with both sides has a granted use"
        return Decision(allowed=True, secret=given.secret)

    def client_certificate(
        self, *, connection: str | None = None, request: str | None = None
    ) -> Decision | None:
        """Decide about the client certificate of one goal; None where the manifest asks for none.

        Allowed: `secret` is the store's name. Codes as for `secret`.
        """
        goal = _goal(connection, request)
        for use in self.requested.secrets:
            if use.binding.bound_to == goal and use.binding.presented:
                return self.secret(
                    use.name,
                    Position(CLIENT_CERTIFICATE),
                    connection=connection,
                    request=request,
                )
        return None

    def captured(
        self,
        source: tuple[str, str],
        at: Position,
        *,
        connection: str | None = None,
        request: str | None = None,
    ) -> Decision:
        """Decide whether the value that `source` names may be inserted `at` a position of one goal.

        `source` is a request target and the name of one of its captures; both sides must let it
        go `into` that goal at that position. Codes as for `secret`.
        """
        goal = _goal(connection, request)
        way = uses.way_of_captured(self.requested, self.granted, source, goal, at)
        denied = self._way_denied(way, goal, at, f"yoi plugin enable {self._plugin}")
        return _ALLOWED if denied is None else denied

    def rotation(self, target: str, capture: str) -> Decision:
        """Decide which secret of the store the capture of `target` replaces.

        Both sides must say so (`rotates`), and a secret of that name must be granted. Allowed with
        `secret` None: the capture rotates nothing.
        """
        asked = uses.capture_of(self.requested, target, capture)
        given = uses.capture_of(self.granted, target, capture)
        if asked is None or asked.rotates is None:
            return _ALLOWED
        stored = {use.secret for use in self.granted.secrets if use.name == asked.rotates} - {None}
        if given is None or given.rotates != asked.rotates or not stored:
            return Decision(
                allowed=False,
                code="denied.not_granted",
                message=f"the request {printable(target, 200)} may not replace the secret "
                f"{asked.rotates}: the operator has not granted it",
                hint=f"yoi plugin enable {self._plugin} --secret {asked.rotates}=STORE_NAME",
            )
        return Decision(allowed=True, secret=stored.pop())

    def _way_denied(
        self, way: "uses.Way", goal: "uses.Goal", at: Position, command: str
    ) -> Decision | None:
        denied = self._without_way(way, goal, command)
        wrong = None if denied is not None else way.wrong_place(at)
        if wrong is None:
            return denied
        return Decision(
            allowed=False,
            code=uses.NO_PLACE,
            message=wrong,
            hint="list the pointer in 'at' of the manifest, then: " + command,
        )

    def _without_way(self, way: "uses.Way", goal: "uses.Goal", command: str) -> Decision | None:
        lacks = [_Lack(way.what, way.asked, way.given, way.lines)]
        if way.asked and way.given:
            lacks = []
        reach = self._without_goal(goal)
        if reach is not None:
            lacks.append(reach)
        return self._denied(lacks, command) if lacks else None

    def _without_goal(self, goal: "uses.Goal") -> "_Lack | None":
        """Return what is missing for `goal` itself: the connection, or the named target."""
        connection, request = goal
        if connection is not None:
            if is_safe_id(connection):
                return self._without_permission(Permission(PermissionKind.CONNECTION, connection))
            asked = given = False
        else:
            asked = self.requested.request_named(request or "") is not None
            given = self.granted.request_named(request or "") is not None
        if asked and given:
            return None
        what = f"the {uses.goal_in_words(goal)}"
        kind = "[[connections]]" if request is None else "[[request]]"
        return _Lack(what, asked, given, f"declare it in plugin.toml under {kind}, with that name")

    def _answer(self, question: "_Question") -> Decision:
        known = self._answers.get(question)
        if known is None:
            known = self._decide(question)
            if len(self._answers) >= LIMITS.remembered_decisions:
                self._answers.clear()
            self._answers[question] = known
        return known

    def _decide(self, question: "_Question") -> Decision:
        kind, permission_kind, name, method, url, _ = question
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
        if url.ip is not None and undialable(url.ip):
            # No target can name it, so no line of a manifest would help.
            return addresses_denied(url, [url.ip], private_addresses=False)
        asked = _matching(self.requested, question)
        given = _matching(self.granted, question)
        lacks = [
            self._without_permission(needed),
            None if asked and given else _without_target(question, bool(asked), bool(given)),
        ]
        found = [lack for lack in lacks if lack is not None]
        return self._denied(found) if found else _allowed(url, asked, given)

    def _without_permission(self, wanted: Permission) -> "_Lack | None":
        asked, given = self.requested.has(wanted), self.granted.has(wanted)
        if asked and given:
            return None
        what = f"{wanted.label} ({wanted.meaning})"
        return _Lack(what, bool(asked), bool(given), hints.permission_lines(wanted))

    def _denied(self, lacks: "list[_Lack]", command: str | None = None) -> Decision:
        steps = [lack.lines for lack in lacks if not lack.asked]
        if not all(lack.given for lack in lacks):
            steps.append(command or f"yoi plugin enable {self._plugin}")
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


def _goal(connection: str | None, request: str | None) -> "uses.Goal":
    if (connection is None) == (request is None):
        raise ValueError("exactly one of connection and request names the goal")
    return connection, request


def _shown_name(name: str) -> str:
    return name if is_safe_id(name) else "NAME"


def _matching(side: "PermissionSet", question: _Question) -> _Targets:
    kind, _, _, method, url, name = question
    return tuple(
        target
        for target in side.targets(kind)
        if (name is None or target.name == name) and target.allows(url, method)
    )


def _without_target(question: _Question, asked: bool, given: bool) -> _Lack:
    kind, _, _, method, url, name = question
    named = name if name is not None and is_safe_id(name) else None
    lines = hints.target_lines(hints.target_for(url, kind, method, named))
    what = f"{method} {url.display}".strip()
    if name is not None:
        what += f" within the target {printable(name, LIMITS.name_bytes)}"
    return _Lack(what, asked, given, lines)


def _allowed(url: "Url", asked: _Targets, given: _Targets) -> Decision:
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
        max_message_bytes=most,
        private_addresses=private,
    )


def address_decision(ip: "IPAddress", url: "Url", private_addresses: bool) -> Decision:
    """Decide one resolved address of an allowed `url`, as `may_dial` does, with words.

    `private_addresses` is from the `Decision` for this URL; the code is `denied.address`.
    """
    if may_dial(ip, url, private_addresses):
        return Decision(allowed=True, private_addresses=private_addresses)
    return addresses_denied(url, [ip], private_addresses)


def private_name_denied(url: "Url") -> Decision:
    """Return why the proxy is not given the name of `url`: it means something private."""
    return Decision(
        allowed=False,
        code="denied.address",
        message=f"{url.display} is a name of a private network, which the proxy would look up "
        "there; manifest and grant must both admit that",
        hint='addresses = "private"   # in the target, in plugin.toml; then: yoi plugin enable',
    )


def addresses_denied(url: "Url", found: "Sequence[IPAddress]", private_addresses: bool) -> Decision:
    """Return the denial (`denied.address`) of a URL that leads only to addresses not to be dialled.

    The hint names what would allow it: a setting of this machine where a proxy seems to answer
    names, a target with private addresses, or nothing.
    """
    shown = ", ".join(f"{ip} ({classify(ip)})" for ip in found[:_ADDRESSES_SHOWN])
    where = f"{url.display} leads to {shown}"
    routed = next((net for ip in found if (net := looks_routed(ip)) is not None), None)
    hint: str | None
    hint = 'addresses = "private"   # in the target, in plugin.toml; then: yoi plugin enable'
    if all(undialable(ip) for ip in found):
        why, hint = "where no server can be reached", None
    elif private_addresses:
        why, hint = "which is not an address that this host may have", None
    elif routed is not None and url.ip is None:
        why = (
            f"which is not public. It looks like the answer of a proxy on this machine or network "
            f"that routes by name and answers from {routed}"
        )
        hint = (
            "if there is such a proxy, write to host.toml of this account:\n"
            f'[network]\nassume_public = ["{routed}"]'
        )
    else:
        why = "which is not public; manifest and grant must both admit that"
    return Decision(allowed=False, code="denied.address", message=f"{where}, {why}", hint=hint)
