"""The `request` command of one service: fill in, authorise, send, take captures out, answer."""

from collections.abc import Awaitable, Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Protocol

from yoi.connections import HttpAnswer, HttpFailure, PreparedRequest, request_body, request_url
from yoi.connections.background_work import BackgroundWork
from yoi.connections.requests import form_body, is_form, without_query
from yoi.core.insertion import Layout
from yoi.errors import InsertionError, PermissionDenied, RequestFailure, YoiError
from yoi.permissions import Authority, Decision, Url, UrlTarget
from yoi.permissions.signatures import Subject
from yoi.protocol.session_commands import Request
from yoi.runtime.heads import FilledHead, filled_head, head
from yoi.runtime.request_watch import RequestWatch
from yoi.runtime.secret_injector import Filled, SecretInjector
from yoi.runtime.signer import Sent, Signable

Json = Any
Send = Callable[
    [PreparedRequest, Callable[[str, Any], Decision]], Awaitable[HttpAnswer | HttpFailure]
]


class Rotation(Protocol):
    """Where a captured credential replaces a stored one; `yoi.secrets` has the real one."""

    async def replace(self, name: str, value: str) -> None:
        """Store `value` under `name`, durably."""
        ...


class ServiceRequests:
    """See the module docstring. One per service; it belongs to the event loop."""

    def __init__(
        self,
        service: str,
        authority: Authority,
        injector: SecretInjector,
        send: Send,
        rotation: Rotation,
        background: BackgroundWork | None = None,
    ) -> None:
        self.watch = RequestWatch()
        self._service = service
        self._authority = authority
        self._injector = injector
        self._send = send
        self._rotation = rotation
        self.background = background or BackgroundWork()

    def prepare(self, command: Request, command_id: str) -> PreparedRequest:
        """Return the request as it will be sent. Raises YoiError; nothing has left the host."""
        target = self._target(command.target)
        body: Json = command.json if command.text is None else command.text
        filled = self._injector.fill(
            {**head(command.path, command.query, command.headers, command.basic), "body": body},
            command.insert,
            Layout.HEAD,
            request=command.target,
        )
        exact = target.host.exact
        if exact is None or target.scheme not in ("http", "https"):
            raise RequestFailure(
                "request.malformed",
                f"the request target {command.target} has no single scheme and host to send to",
                hint="name one host and one scheme in [[request]], and give each its own name",
            )
        if command.sign is not None:
            filled = self._signed(command, command.sign, target, exact.header, filled)
        sent = filled_head(filled)
        headers = sent.headers
        data, media = _body(command, filled.document["body"], headers)
        if media is not None and not any(name.lower() == "content-type" for name in headers):
            headers = {**headers, "Content-Type": media}
        return PreparedRequest(
            plugin=self._service,
            command_id=command_id,
            target=command.target,
            method=command.method,
            url=_url(target, exact.header, command.path, sent),
            headers=tuple(headers.items()),
            body=data,
            inserted_headers=sent.inserted_headers,
            inserted_elsewhere=sent.inserted_elsewhere,
            certificate=self._injector.client_certificate(request=command.target),
        )

    def may_repeat(self, target: str) -> bool:
        """Return whether a request to `target` may be made again where its end is not known."""
        return self._authority.may_repeat(target)

    def _signed(
        self, command: Request, key: str, target: UrlTarget, host: str, filled: Filled
    ) -> Filled:
        """Return `filled` with its signature. Raises YoiError; nothing has left the host."""

        def sent(document: Json) -> Sent:
            made = filled_head(Filled(document, filled.places))
            url = _url(target, host, command.path, made)
            body, _ = _body(command, document["body"], made.headers)
            return Sent(command.method, url.host_header, url.path, url.query, body or b"")

        signed = self._injector.signer.sign(
            key,
            Signable(
                Subject.REQUEST,
                filled.document,
                Layout.HEAD,
                request=command.target,
                method=command.method,
                sent=sent,
            ),
        )
        return filled.with_signature(signed)

    def prepare_url(
        self,
        method: str,
        url_text: str,
        headers: tuple[tuple[str, str], ...],
        body: str | None,
        call_id: str,
    ) -> PreparedRequest:
        """Return a request by URL, which nothing is inserted into. Raises YoiError.

        It goes to the declared target that covers the URL. Where several do, one that captures is
        taken: a request by URL must not show the plugin what a request by target hides.
        """
        url = Url.parse(url_text, ("http", "https", "ws", "wss"))
        data, _ = request_body(None, body)
        return PreparedRequest(
            plugin=self._service,
            command_id=call_id,
            target=self._covering(method, url),
            method=method,
            url=url,
            headers=headers,
            body=data,
        )

    async def carry_out(
        self, prepared: PreparedRequest, wanted: tuple[str, ...]
    ) -> dict[str, Json]:
        """Return the payload of the `response` event. Never raises but when cancelled.

        Every value that the target declares as a capture is taken out. That a capture found nothing
        is told only where it is `wanted`: most answers of a target have no credential in them.
        """

        def authorise(method: str, url: Any) -> Decision:
            if not prepared.target and self._capturing(method, url) is not None:
                # Reached by a redirect: its answers are for those who name it.
                return self._authority.request(method, url, "")
            return self._authority.request(method, url, prepared.target or None)

        answer = await self._send(prepared, authorise)
        if isinstance(answer, HttpFailure):
            failure = answer.masked(self._injector.masker())
            self.watch.heard(prepared.target, failure)
            return failure.to_payload()
        self._hear_clock(prepared.target, answer)
        if not prepared.target:
            self.watch.heard("", answer)
            return (await self._masked(answer)).to_payload()
        target = self._target(prepared.target)
        relieved, taken = answer.relieved_of(target.captures)
        # Masked before the rest is looked at: the answer may hold the value twice.
        for value in taken.values.values():
            self._injector.hide(value)
        payload = (await self._masked(relieved)).to_payload()
        captured: dict[str, str] = {}
        failed: dict[str, YoiError] = {
            name: exc for name, exc in taken.failed.items() if name in wanted
        }
        for name in wanted:
            if target.capture(name) is None:
                failed[name] = PermissionDenied(
                    "denied.not_requested",
                    f"the request {prepared.target} declares no such capture",
                )
        for name, value in taken.values.items():
            try:
                decision = self._authority.rotation(prepared.target, name).require()
                if decision.secret is not None:
                    await self._rotation.replace(decision.secret, value.text())
                else:
                    captured[name] = self._injector.keep(prepared.target, value)
            except YoiError as exc:
                failed[name] = exc
        self.watch.heard(prepared.target, answer, next(iter(failed.values()), None))
        if captured:
            payload["captured"] = captured
        if failed:
            payload["capture_errors"] = {name: _error(exc) for name, exc in failed.items()}
        return payload

    def _hear_clock(self, target: str, answer: HttpAnswer) -> None:
        try:
            said = parsedate_to_datetime(dict(answer.headers).get("date", ""))
        except (TypeError, ValueError):
            return
        if said.tzinfo is not None:
            self._injector.signer.heard_clock(target, int(said.timestamp() * 1000))

    async def _masked(self, answer: HttpAnswer) -> HttpAnswer:
        masker = self._injector.masker()
        if not masker:
            return answer
        return await self.background.run(answer.size, lambda: answer.masked(masker))

    def _covering(self, method: str, url: Url) -> str:
        """Return the name of the target for `url`; empty for one without a name, and for none."""
        capturing = self._capturing(method, url)
        if capturing is not None:
            return capturing
        plain = without_query(url)
        names = [
            target.name or ""
            for target in self._authority.requested.request
            if target.allows(plain, method)
        ]
        for name in names:
            if self._authority.request(method, plain, name or None).allowed:
                return name
        return names[0] if names else ""

    def _capturing(self, method: str, url: Url) -> str | None:
        plain = without_query(url)
        for target in self._authority.requested.request:
            if target.captures and target.allows(plain, method):
                return target.name
        return None

    def _target(self, name: str) -> UrlTarget:
        target = self._authority.requested.request_named(name)
        if target is not None:
            return target
        raise PermissionDenied(
            "denied.not_requested",
            f"the manifest declares no request target named {name!r}",
            hint=f'declare it in plugin.toml: [[request]] with name = "{name}"',
        )


def _body(
    command: Request, filled: Json, headers: Mapping[str, str]
) -> tuple[bytes | None, str | None]:
    """Return the bytes of the body, and its media type where the headers need not say it."""
    if command.text is not None:
        return request_body(None, filled)
    if filled is not None and is_form(headers):
        return form_body(filled), None
    return request_body(filled, None)


def _url(target: UrlTarget, host: str, path: str, sent: FilledHead) -> Url:
    if sent.shown_path is None:
        return request_url(target.scheme, host, target.port, path, sent.query)
    try:
        url = request_url(target.scheme, host, target.port, sent.path, sent.query)
    except YoiError as exc:
        # Not the refusal's words: they quote what is to be hidden.
        raise InsertionError(
            "insert.place", f"no path may carry what is inserted into it ({exc.code})"
        ) from None
    return url.hiding(sent.shown_path)


def _error(exc: YoiError) -> dict[str, Json]:
    return {"code": exc.code, "message": exc.message}
