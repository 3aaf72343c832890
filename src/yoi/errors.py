"""One error root. Every error carries a stable `code`, a message that names the fix, and fields.

    YoiError
    ├── UrlRefused            a URL that policy will not parse
    ├── PermissionDenied      an action that lacks one of the two keys
    ├── PermissionMalformed   a permission that cannot be parsed
    ├── SecretError           a secret or its store cannot be used
    ├── SignatureError        something cannot be signed as declared
    ├── InsertionError        a value cannot be put where a command says
    ├── ManifestError         plugin.toml is not acceptable
    ├── PackageError          an archive, folder, digest or store is not acceptable
    ├── EnablementError       the operator's configuration is not acceptable
    ├── TrustError            what the operator decided cannot be read, kept or applied
    ├── ConfigError           values that do not fit a plugin's config schema
    ├── ConnectionFailure     a dial, handshake or live socket failed
    ├── RequestFailure        a one-shot HTTP request was refused or failed
    ├── CaptureFailed         a value could not be taken out of an answer, or its handle not used
    ├── SandboxError          the guest or its engine failed
    │   ├── GuestTrapped      the instance is gone and must be replaced
    │   └── GuestRefused      the guest answered, and its answer is refused
    ├── ServiceError          a service cannot do what was asked in its state
    ├── ControlError          the running host could not be reached or refused
    ├── ProtocolMalformed     bytes that are not a message of a protocol of ours
    ├── ClusterError          what several machines share cannot be used
    ├── JournalError          a journal could not be read or written as asked
    ├── TokenError            an observer's token cannot be made, kept or described as asked
    ├── WorkerError           a worker cannot do what was asked in its state
    ├── ModelError            a model call failed
    ├── McpError              an MCP server, or a client of ours, cannot do what was asked
    ├── ObserveError          something cannot be watched, and trying again would not help
    ├── TicketError           a work item cannot be read, or not changed as asked
    ├── ServingError          a listener could not be opened, or not as configured
    └── UsageError            a command line that cannot be carried out

Codes are `family.reason`, never reused and never renamed; `CODES` is the whole list, from which
docs/reference/errors.md is generated. Messages may hold text from strangers, so they are escaped
and bounded here, when the error is built, not when it is printed.
"""

from typing import TYPE_CHECKING, Any, ClassVar

from yoi.display import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

_MESSAGE_CHARS = 1024


class YoiError(Exception):
    """The root of every error Yoi raises.

    `code` is stable and listed in `CODES`; `hint` is the next thing to do (a manifest line or a
    command), which some codes have by themselves; `fields` hold what a caller would branch on.
    """

    family: ClassVar[str] = "yoi"
    exit_status: ClassVar[int] = 1

    def __init__(self, code: str, message: str, *, hint: str | None = None, **fields: Any) -> None:
        if code not in CODES:
            raise LookupError(f"unlisted error code: {code}")
        hint = _HINTS.get(code) if hint is None else hint
        self.code = code
        self.message = printable(message, _MESSAGE_CHARS)
        self.hint = (
            None
            if hint is None
            else "\n".join(printable(line, _MESSAGE_CHARS) for line in hint.splitlines())
        )
        self.fields: Mapping[str, Any] = fields
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message} [{self.code}]"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.code!r}, {self.message!r})"


class UrlRefused(YoiError):
    """A URL or target that policy refuses to parse; it is never dialled."""

    family = "url"


class PermissionDenied(YoiError):
    """An action that the manifest did not ask for, the operator did not grant, or both."""

    family = "denied"


class PermissionMalformed(YoiError):
    """A permission in a manifest or grant cannot be parsed; `fields["at"]` is a dotted path."""

    family = "permission"


class SecretError(YoiError):
    """A secret is missing or unusable, or its store cannot be opened, read or written."""

    family = "secret"


class SignatureError(YoiError):
    """Something cannot be signed as declared; nothing was sent."""

    family = "signature"


class InsertionError(YoiError):
    """A value cannot be put where a command says; nothing was sent."""

    family = "insert"


class ManifestError(YoiError):
    """plugin.toml is malformed, unknown or inconsistent; `fields["at"]` is a dotted path."""

    family = "manifest"


class PackageError(YoiError):
    """An archive, source folder, digest or store cannot be accepted."""

    family = "package"


class EnablementError(YoiError):
    """The operator's yoi.toml names something that cannot be enabled as written."""

    family = "enablement"


class TrustError(YoiError):
    """What the operator of this account decided cannot be read, kept or applied."""

    family = "trust"


class ConfigError(YoiError):
    """An operator's value does not fit the plugin's config schema."""

    family = "config"


class ConnectionFailure(YoiError):
    """A dial, a handshake or a live socket failed."""

    family = "connection"


class RequestFailure(YoiError):
    """A one-shot HTTP request was refused here, or failed on its way."""

    family = "request"


class CaptureFailed(YoiError):
    """A declared value could not be taken out of an answer, or its handle cannot be used."""

    family = "capture"


class SandboxError(YoiError):
    """The engine or a guest failed."""

    family = "sandbox"


class GuestTrapped(SandboxError):
    """The guest's Store is gone: it trapped, ran out of time or memory, or broke its contract."""


class GuestRefused(SandboxError):
    """The guest is alive, but its answer was refused."""


def run_elsewhere(name: str, machine: str) -> str:
    """Return why a command about `name` is refused: `machine` runs it, or none where empty."""
    if not machine:
        return f"{name} is run by no machine now"
    return f"{name} runs on {machine}: this command is given there"


class ServiceError(YoiError):
    """A service cannot do what was asked in the state it is in."""

    family = "service"


class ControlError(YoiError):
    """The running host could not be reached, or refused the request."""

    family = "control"
    exit_status = 3


class ProtocolMalformed(YoiError):
    """Bytes that are not a message of the protocol they should belong to."""

    family = "protocol"


class ClusterError(YoiError):
    """The NATS deployment that several machines share cannot be used as it is."""

    family = "cluster"


class JournalError(YoiError):
    """A journal could not be opened, read or written as asked; nothing was half written."""

    family = "journal"


class TokenError(YoiError):
    """A token, or what it may see, is not acceptable, or the tokens' file cannot be used."""

    family = "token"


class WorkerError(YoiError):
    """A worker cannot do what was asked, in its state or within its bounds."""

    family = "worker"


class ModelError(YoiError):
    """A model call failed; `fields["retryable"]` says whether asking again may help."""

    family = "model"


class McpError(YoiError):
    """An MCP server cannot be used as asked, or this host not by an MCP client."""

    family = "mcp"


class ServingError(YoiError):
    """A listener could not be opened, or not as it is configured."""

    family = "serving"


class ObserveError(YoiError):
    """Something cannot be watched, and connecting again would not change that."""

    family = "observe"


class TicketError(YoiError):
    """A work item cannot be read, or not changed as asked; `fields["line"]` where it has one."""

    family = "ticket"


class UsageError(YoiError):
    """The command line cannot be carried out as written."""

    family = "usage"
    exit_status = 2


_MEND = "mend it in an editor, or move it away; what else is odd: yoi ticket doctor"
_HINTS = {
    "observe.unreachable": "is it up, and is the address right? `yoi serve` prints it there",
    "observe.refused": "is the address that of a backend? `yoi serve` prints it there",
    **dict.fromkeys(("ticket.file", "ticket.utf8", "ticket.front_matter"), _MEND),
    "ticket.relations": _MEND,
    "ticket.too_large": "shorten it: what is long can be a file under artifacts/ of the item",
    "ticket.busy": "again in a moment; what else changes it?",
}
CODES: dict[str, str] = {
    # url
    "url.malformed": "not a URL the WHATWG parser accepts",
    "url.scheme": "the scheme is not one this action may use",
    "url.userinfo": "a user name or password stands in the URL",
    "url.fragment": "the URL has a fragment, which is never sent",
    "url.ambiguous": "other software could read this URL differently",
    "url.too_long": "the URL is longer than the bound",
    "url.target": "a permission target cannot be parsed",
    # denied
    "denied.not_requested": "the manifest does not ask for this",
    "denied.sender": "no listed sender stands behind a notification",
    "denied.not_granted": "the operator has not granted this",
    "denied.address": "the name leads to an address that is not public",
    "denied.secret_place": "a secret or captured value may not go to this place",
    "denied.unsupported": "this host does not carry out this kind of command",
    # permission
    "permission.malformed": "a permission, or a list of them, cannot be parsed",
    # secret
    "secret.missing": "the store holds no secret of that name",
    "secret.malformed": "the value cannot be used as a secret, or not at this place",
    "secret.certificate": "the value is no certificate with its key in PEM form",
    "secret.certificate_key": "the key belongs to another certificate",
    "secret.certificate_locked": "the key of the certificate has a passphrase",
    "secret.name": "a secret's name is not a safe id",
    "secret.bounds": "the store, or one value, is at its bound",
    "secret.conflict": "the secret has changed since it was read",
    "secret.wrong_key": "the store was written with another key or passphrase",
    "secret.tampered": "the store's file was changed by something other than Yoi",
    "secret.key_file": "the key file is missing, or not private to this account",
    "secret.settings": "the [secrets] table of yoi.toml cannot be used as written",
    "secret.keyring": "the operating system's keyring is not there or refused",
    "secret.flow_settings": "what `yoi secret authorize` was given cannot be used",
    "secret.flow_state": "an answer in the browser that does not belong to this authorization",
    "secret.flow_denied": "the person, or the authorization server for them, said no",
    "secret.flow_expired": "the person did not agree in time",
    "secret.flow_refused": "the authorization server answered with an error",
    "secret.flow_answer": "the authorization server's answer cannot be used",
    "secret.busy": "another process is writing the store",
    "secret.io": "the store's file could not be read or written",
    # insert
    "signature.key": "a key is of another kind, length or encoding than its signature declares",
    "signature.value": "a part of what is signed is not in the message, or is no text",
    "signature.too_large": "what would be signed is over its bound",
    "signature.clock": "the server's clock and this machine's differ too much to sign for it",
    "signature.nonce": "the numbers that were used are not known for sure; none is used again",
    "insert.malformed": "an `insert` list does not have the agreed shape",
    "insert.place": "the document has no such place to insert into",
    # manifest
    "manifest.toml": "plugin.toml is not TOML",
    "manifest.unknown_key": "a key that does not exist",
    "manifest.type": "a value of the wrong type",
    "manifest.missing": "a required key or file is missing",
    "manifest.value": "a value outside what is allowed",
    "manifest.schema_version": "a schema version this Yoi does not know",
    "manifest.world": "a runtime or world this Yoi does not run",
    "manifest.reference": "a name that refers to nothing in the manifest",
    "manifest.duplicate": "the same name twice",
    "manifest.too_large": "plugin.toml or a list in it is over its bound",
    # package
    "package.malformed": "the archive is not one Yoi can read",
    "package.traversal": "a path or link that leaves the package",
    "package.duplicate": "the same path or identity twice",
    "package.bounds": "a size or count over its bound",
    "package.unsupported": "an archive feature Yoi does not accept",
    "package.io": "the file or folder could not be read or written",
    "package.exists": "the output exists already",
    "package.missing": "no such package",
    "package.ambiguous": "more than one package answers to that name",
    "package.digest": "the content does not have the expected digest",
    "package.source": "the plugin's Python source cannot be used as it is",
    "package.lock": "plugin.lock and libs.zip do not belong together, or cannot be read",
    "package.library_missing": "no such library, or no release of it that fits",
    "package.library_native": "the library has compiled code",
    "package.library_source": "the library comes only as source that would have to be run",
    "package.library_older": "only an older release of the library fits",
    "package.library_name": "the library brings a module whose name is taken",
    "package.library_hash": "a library's file is not the one that plugin.lock names",
    "package.resolver": "libraries could not be resolved",
    "package.tools": "plugin.toml does not declare the tools that the source marks",
    # enablement
    "enablement.toml": "yoi.toml is not TOML",
    "enablement.malformed": "yoi.toml has a key or value that is not allowed",
    "enablement.missing": "an enabled package cannot be found",
    "enablement.version": "the package has another version than the enabled one",
    "enablement.digest": "the package has another digest than the enabled one",
    "enablement.grant": "the grants are bound to another package",
    "enablement.surface": "a surface the package does not declare",
    "enablement.duplicate": "two enabled entries have the same instance name",
    # trust
    "trust.pending": "the operator of this account has not decided this",
    "trust.changed": "the file is not the one that was shown, or whose digest was given",
    "trust.folder": "the folder for what was decided, or one into which Yoi writes, cannot be used",
    "trust.damaged": "what was decided cannot be read",
    "trust.busy": "another process is recording a decision",
    "trust.full": "there is no room for what was decided",
    "trust.foreign": "a file that the host writes was not written for this workspace",
    "trust.unusable": "yoi.toml has been empty or unreadable for too long",
    # config
    "config.schema": "a config schema that is not in the supported subset",
    "config.value": "an operator's value does not fit the plugin's schema",
    # connection
    "connection.dns": "the name could not be resolved",
    "connection.refused": "no address could be connected",
    "connection.tls": "TLS failed or the certificate does not match",
    "connection.authorities": "a file of [[network.authorities]] in host.toml cannot be used",
    "connection.proxy": "the proxy could not be reached",
    "connection.proxy_credentials": "the proxy asks for credentials, or refuses those it got",
    "connection.proxy_lost": "the proxy hung up before it led to the server",
    "connection.proxy_protocol": "what answers in the proxy's place is no such proxy",
    "connection.proxy_refused": "the proxy does not lead to the server",
    "connection.proxy_silent": "the proxy did not answer in time",
    "connection.handshake": "the server did not accept the WebSocket handshake",
    "connection.redirect": "the server answered with a redirect, which is refused",
    "connection.timeout": "a bound on time ran out",
    "connection.protocol": "the peer broke the WebSocket protocol",
    "connection.withheld": "a binary message repeats a secret, so the plugin does not get it",
    "connection.too_big": "a message is over the bound",
    "connection.oversized": "the server sends messages over the granted size again and again",
    "connection.flood": "more control frames or fragments than the bound",
    "connection.lost": "the transport ended without a close frame",
    "connection.idle": "the peer stopped answering pings",
    "connection.overflow": "the plugin did not read in time and the grace ran out",
    "connection.fatal_close": "the server closed with a code the manifest declares fatal",
    "connection.fatal_status": "the server answered with a status the manifest declares fatal",
    "connection.unauthorised": "the server refused the credentials too often",
    "connection.unknown": "the plugin declares no such connection",
    "connection.not_open": "the connection is not open",
    "connection.session_ended": "the session the message belongs to has ended",
    "connection.send_failed": "the message could not be written",
    "connection.rate": "more messages per second than the connection may send",
    "connection.budget": "the dials of this day are used up",
    "connection.heartbeat": "the peer did not acknowledge a heartbeat",
    "connection.no_url": "neither the manifest nor the plugin has said where to dial",
    "connection.reconnect_needed": "the plugin must say where to dial, or begin afresh",
    "connection.autoreplies": "more autoreplies than one session may have",
    "connection.questions": "too many messages of a session or plugin wait for their answer",
    "connection.question_repeated": "a message with this id waits for its answer already",
    "connection.counter": "a session has used every number that JSON readers keep exactly",
    # request
    "request.dns": "the name could not be resolved",
    "request.refused": "no address could be connected",
    "request.authorities": "a file of [[network.authorities]] in host.toml cannot be used",
    "request.proxy": "the proxy could not be reached",
    "request.proxy_credentials": "the proxy asks for credentials, or refuses those it got",
    "request.proxy_lost": "the proxy hung up before it led to the server",
    "request.proxy_protocol": "what answers in the proxy's place is no such proxy",
    "request.proxy_refused": "the proxy does not lead to the server",
    "request.proxy_silent": "the proxy did not answer in time",
    "request.tls": "TLS failed or the certificate does not match",
    "request.timeout": "a bound on time ran out",
    "request.status": "the server answered with an error status",
    "request.lost": "the connection ended before the answer was complete",
    "request.answer_too_large": "the answer's body is over what its target allows",
    "request.too_large": "the request or the answer's head is over its bound",
    "request.protocol": "the answer is not HTTP/1.1",
    "request.redirect": "the answer is a redirect that may not be followed",
    "request.upgrade": "a request is no way to a WebSocket or another protocol",
    "request.event_stream": "an answer that never ends is not an answer to a request",
    "request.rate_limited": "the server said to wait, and the wait is not over",
    "request.header": "a header that a request may not carry",
    "request.malformed": "the request does not have a form that can be sent",
    "request.busy": "too many requests of this plugin wait already",
    # capture
    "capture.absent": "there is nothing at the declared place of the answer",
    "capture.type": "the value at the declared place is of the wrong type",
    "capture.handle": "the handle is unknown, too old, or made for something else",
    # sandbox
    "sandbox.engine": "the WebAssembly engine refused its configuration",
    "sandbox.runner_missing": "the Python runner is neither shipped nor buildable here",
    "sandbox.compile": "the component could not be compiled within the bounds",
    "sandbox.world": "the component does not fit the world it names",
    "sandbox.load": "the plugin's code could not be loaded",
    "sandbox.start": "the plugin's start() failed",
    "sandbox.deadline": "the guest used up its time",
    "sandbox.memory": "the guest asked for more memory than its bound",
    "sandbox.stack": "the guest's stack overflowed",
    "sandbox.trap": "the guest trapped",
    "sandbox.host_calls": "the guest made more host calls than its bound",
    "sandbox.gone": "the instance has been discarded",
    "sandbox.answer_malformed": "the guest's answer does not have the agreed shape",
    "sandbox.answer_too_large": "the guest's answer is over the bound",
    "sandbox.exception": "the plugin's handler raised",
    # service
    "service.queue_full": "the ingress queue is full",
    "service.not_running": "the service is not running",
    "service.stopping": "the service is stopping",
    "service.quarantined": "the service failed too often and waits for a person",
    "service.invalid_event": "the event does not fit the ingress",
    "service.loop_time": "acting on the plugin's answers takes more than its share of the host",
    "service.elsewhere": "another machine of the cluster runs the service",
    "service.unknown": "no such service",
    "service.transition": "a state change that the lifecycle does not allow",
    "service.dead_letter": "an event was given up after its last attempt",
    "service.dead_letter_dropped": "a dead letter made room for a newer one",
    "service.effect_unknown": "the host ended during a command: it may have happened, or not",
    "service.version_refused": "the version that is enabled could not take over; the one before it "
    "goes on",
    "service.ingress_gone": "an event waited for an ingress that the plugin declares no more",
    "service.command_malformed": "an output command does not have the agreed shape",
    "service.parts": "parts do not make one message, or something would stand outside a document",
    "service.rate": "more than the granted rate",
    "service.effects_full": "too many requests and notifications wait for their outcome",
    "service.state_full": "the plugin's state is over its bound",
    "service.timers": "the plugin has too many pending timers",
    "service.deferred_repeated": "a tool call waits under this id already",
    "service.deferred_full": "too many tool calls of the plugin wait for its answer",
    "service.deferred_unknown": "no tool call of the plugin waits under this id",
    "service.deferred_ended": "the tool call has its end already",
    "service.no_answer": "the plugin did not answer a tool call in time",
    "service.interrupted": "the plugin, or the session it had asked on, went before it answered",
    "service.tool_failed": "the plugin answered a deferred tool call with an error",
    "service.call_malformed": "a host call does not have the agreed shape",
    "service.handle": "no socket of this plugin has that handle",
    "service.pull_sockets": "as many sockets are open as may be",
    "service.waiting": "too many plugins wait inside host calls already",
    # control
    "control.unreachable": "no running host answers on the control socket",
    "control.refused": "the running host refused the request",
    "control.in_use": "another host already runs in this workspace",
    "control.socket": "the control socket cannot be where it belongs",
    # protocol
    "protocol.malformed": "bytes that are not a message of this protocol",
    # journal
    "cluster.unreachable": "no NATS server of [cluster] answered",
    "cluster.credentials": "the NATS servers refused the credentials",
    "cluster.version": "nats-server is too old: two hosts could write one log",
    "cluster.no_jetstream": "the NATS servers have no JetStream, or none for this account",
    "cluster.stream": "the stream of the logs is another one, or could lose records",
    "cluster.none": "the workspace names no servers to share",
    "cluster.elsewhere": "the logs are on the servers of [cluster], so a host must run",
    "cluster.lost": "the lease of this host is over: another one may run the workspace",
    "cluster.publication": "what was published for the deployment is not there, or no publication",
    "cluster.signature": "the publication is not signed by the key that this machine obeys",
    "cluster.deployment": "the publication, or what lies on the servers, is another deployment's",
    "cluster.replayed": "the publication is older than one that was in force",
    "cluster.expired": "the publication is over",
    "cluster.clock": "this machine's clock and the deployment's differ too much",
    "cluster.package": "a published package is not there, or is another one",
    "cluster.too_large": "what was decided is too large to be published",
    "cluster.key": "the key that seals for the deployment is not here, or is another one",
    "cluster.stale": "what is published could not be confirmed in time",
    "cluster.in_use": "a host runs on the logs that are to be copied",
    "cluster.unit_lost": "another machine owns what this one ran: it was stopped here",
    "cluster.unit_barred": "a unit was taken over too often without progress: no machine runs it",
    "cluster.unit_unknown": "no service or worker of that name is in the cluster",
    "cluster.not_listening": "another machine takes no command now: nothing was done",
    "cluster.unanswered": "a command reached another machine: it may be done, or not",
    "cluster.forged": "commands of other machines were refused: not sealed for this one",
    "cluster.full": "the NATS servers have no room for the stream of the logs",
    "journal.name": "a log's name is not a safe id",
    "journal.full": "the log is at its bound",
    "journal.too_large": "a record, or a batch of them, is over its bound",
    "journal.conflict": "another writer has appended to this log",
    "journal.fenced": "the log has a later owner: another machine runs what it belongs to",
    "journal.closed": "the journal is closed",
    "journal.io": "the journal's file could not be read or written",
    "journal.not_empty": "the journal to copy into holds records already",
    "journal.incomplete": "a copy into this journal was not finished",
    "journal.sealed": "a log holds what was not sealed with the deployment's key",
    "journal.differs": "what was copied is not what the source holds",
    "journal.format": "the journal's file is damaged, of another kind or a newer version",
    # token
    "token.name": "a token's name is not a safe id",
    "token.exists": "there is a token of that name already",
    "token.missing": "there is no token of that name",
    "token.pattern": "what a token may observe cannot be parsed",
    "token.value": "a token's kind, expiry or other value is not allowed",
    "token.bounds": "the tokens' file, or one token, is at its bound",
    "token.file": "the tokens' file could not be read or written, or is not private",
    # worker
    "worker.elsewhere": "another machine of the cluster runs the worker",
    "worker.unknown": "no such worker",
    "worker.failed": "the worker is configured and cannot run",
    "worker.watch": "no such follower, or too many of them",
    "worker.duplicate": "two workers, or two tools of one worker, with the same name",
    "worker.profile": "a worker's profile cannot be used as written",
    "worker.transition": "a state change that a worker does not make",
    "worker.stopped": "the worker has stopped",
    "worker.queue_full": "too many inputs wait for this worker",
    "worker.input": "an input is empty or over its bound",
    "worker.no_approval": "no tool call waits for a decision there, or there is no such grant",
    "worker.decided": "somebody else has decided about that tool call already",
    "worker.pairing": "nobody can be paired there, or no more, or that sender is not paired",
    "worker.command": "a command for a worker does not exist or is not written as it must be",
    "worker.decision": "a decision about a tool call is not written as it must be",
    "worker.not_paused": "the worker is not paused",
    "worker.not_running": "the worker has no run to cancel",
    "worker.history_invalid": "a stored history breaks the rules of its items",
    "worker.history_full": "the history is at its bound; compact it",
    "worker.tool": "a tool's definition cannot be used",
    "worker.tool_call": "a tool call was refused or failed",
    "worker.notify_rate": "more notifications than the granted rate",
    "worker.extra": "the library of the model's provider is not installed",
    "worker.secret": "a secret that a profile names is not there",
    # model
    "model.provider": "the model's provider failed or could not be reached",
    "model.rejected": "the provider refused the request",
    "model.window": "the request is larger than the model's window",
    "model.output": "the model's answer cannot be used",
    "model.timeout": "the model did not answer in time",
    "model.unknown": "no such model, or its provider's library is not installed",
    # mcp
    "mcp.extra": "the library for MCP is not installed",
    "mcp.start": "the server could not be started, or did not begin as MCP says",
    "mcp.lost": "the server ended, or hung up",
    "mcp.timeout": "the server did not answer in time",
    "mcp.too_large": "the server sent more than one message, or list, may hold",
    "mcp.flood": "the server sent too many messages that answer nothing",
    "mcp.protocol": "what the server sent is not what MCP says",
    "mcp.refused": "the server answered with an error",
    "mcp.tool_failed": "the tool answered that it failed",
    "mcp.changed": "the tool is not the one that was approved",
    "mcp.unavailable": "the server is not running now",
    "mcp.unknown": "no such MCP server or tool",
    "mcp.busy": "too many MCP clients, or calls of one, are under way",
    "mcp.secret": "a secret that the server's table names is not there",
    # serving
    "serving.listen": "the address or port cannot be listened at",
    "serving.tls": "a certificate, its key or an authority cannot be used",
    "serving.keys": "the file of cursor and session keys cannot be used",
    "serving.watch": "the operating system tells of no changed files; they are looked for",
    # observe
    "observe.target": "what to watch, or where, is not written in a usable way",
    "observe.unauthorized": "the token is missing, wrong, expired or revoked",
    "observe.forbidden": "the server does not serve this name or origin",
    "observe.not_found": "there is no such worker, service or runtime here, or none you may watch",
    "observe.cursor": "the cursor is not one of this server",
    "observe.tls": "the server's certificate cannot be trusted",
    "observe.refused": "the server refused for good, or is not one of Yoi",
    "observe.unreachable": "the server did not answer a question that is asked once",
    # ticket
    "ticket.id": "a ticket id is 13 characters of Crockford's base 32",
    "ticket.unknown": "there is no ticket of that id",
    "ticket.file": "a file of a ticket is a link, another kind of file, or cannot be read",
    "ticket.utf8": "a file of a ticket is not UTF-8 text",
    "ticket.too_large": "a file of a ticket, or one event, is over its bound",
    "ticket.front_matter": "the front matter of item.md cannot be read",
    "ticket.thread": "thread.md is damaged where something would be added",
    "ticket.relations": "artifacts/relations.json is damaged",
    "ticket.value": "a value cannot be written into a ticket",
    "ticket.transition": "the state does not lead there, or a condition is not met",
    "ticket.cycle": "an item would depend on itself",
    "ticket.changed": "an item is not the one that was read: its digest is another",
    "ticket.conflict": "what is to be added stands there already",
    "ticket.busy": "a file of a ticket is being changed by something else all the time",
    "ticket.bounds": "there are as many tickets as a workspace may have",
    # usage
    "usage.arguments": "the arguments do not go together",
    "usage.completion": "the shell's own files cannot be changed",
    "usage.output": "what the command prints cannot be written, on a full disk for example",
    "usage.aborted": "the person said no",
    "usage.internal": "a defect in Yoi; the report says what to send",
}
