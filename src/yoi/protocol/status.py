"""Status records (S9, W6): the JSON a person or a script gets for services and connections."""

from typing import Any

import msgspec

from yoi.protocol.diagnostics import Diagnostic


class ConnectionStatus(msgspec.Struct, kw_only=True):
    """One host-owned connection. Times are RFC 3339; `url` has no query, it may hold secrets."""

    name: str
    ingress: str
    url: str
    state: str
    session: str | None = None
    subprotocol: str | None = None
    address: str | None = None
    connected_since: str | None = None
    last_frame_at: str | None = None
    last_news_at: str | None = None
    """The last message that is no acknowledged heartbeat and no fixed text the host answers."""
    last_error: str | None = None
    last_error_code: str | None = None
    last_error_at: str | None = None
    down_since: str | None = None
    """Since when it should be open and is not: lost, refused, or not reached."""
    last_error_status: int | None = None
    """The HTTP status, where the server answered the upgrade with one."""
    halt: str | None = None
    """Why nothing is dialled any more; `revived_by` has what would change that."""
    revived_by: list[str] = []
    close_code: int | None = None
    close_reason: str | None = None
    next_dial_at: str | None = None
    reading_paused: bool = False
    frames_in: int = 0
    frames_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    binary_ignored: int = 0
    unlisted_senders: int = 0
    """Messages that were not delivered because the operator does not list their sender."""
    queue_drops: int = 0
    send_failures: int = 0
    reconnects: int = 0
    gaps: int = 0
    sequence_gaps: int = 0
    """Gaps among them that the messages' own numbers showed."""
    sequence_duplicates: int = 0
    """Messages that had come before, by their numbers."""
    sequence_unread: int = 0
    """Messages whose numbers could not be read: they prove nothing."""
    ready: bool = False
    """The plugin vouched for the session."""
    failures: int = 0
    """How many times in a row no session got ready."""
    draining: str | None = None
    """The session before, while it drains beside its successor."""
    heartbeats: int = 0
    heartbeat_late_ms: int = 0
    """The latest that a heartbeat of this connection left."""
    last_ack_at: str | None = None
    autoreplies: int = 0
    answers: int = 0
    """Frames that answered a question: a message with `reply_at`."""
    answers_repeated: int = 0
    """Further frames with the number of one; the events of a subscription are among them."""
    answers_late: int = 0
    answers_unknown: int = 0
    """Frames whose value at the place of answers is no number of the session."""
    open_questions: int = 0


class PullSocketStatus(msgspec.Struct, kw_only=True):
    """One socket that the plugin opened itself. `url` has no query; `owner` is service or tool."""

    handle: int
    owner: str
    url: str
    state: str
    address: str
    opened_at: str
    subprotocol: str | None = None
    reading_paused: bool = False
    waiting_messages: int = 0
    waiting_bytes: int = 0
    frames_in: int = 0
    frames_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    close_code: int | None = None


class DeferredCallStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One tool call that the plugin answers later, under its own `id`."""

    id: str
    tool: str
    since: str
    until: str


class RequestStatus(msgspec.Struct, kw_only=True):
    """The requests to one target. `code` and `message` say how the last one failed, if it did."""

    target: str
    requests: int = 0
    failed: int = 0
    code: str | None = None
    message: str | None = None


class Counters(msgspec.Struct, kw_only=True):
    """What happened to events and commands since the service was enabled on this host."""

    enqueued: int = 0
    dispatched: int = 0
    succeeded: int = 0
    failed: int = 0
    timed_out: int = 0
    retried: int = 0
    rejected: int = 0
    dropped: int = 0
    dead: int = 0
    commands_done: int = 0
    commands_denied: int = 0
    commands_failed: int = 0
    commands_unknown: int = 0
    restarts: int = 0
    loop_ms: int = 0
    """Time of the host's event loop that went into the plugin's answers."""
    loop_waits: int = 0
    """How many times the plugin had to wait because it took more than its share of that time."""


class CommandResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one output command. `status` is done, denied, unsupported, failed, unknown."""

    command_id: str
    source_event_id: str
    kind: str
    status: str
    code: str | None
    message: str
    at: str


class Alert(msgspec.Struct, frozen=True):
    """Something that needs a person. It stands until what it says is no longer so."""

    kind: str
    scope: str
    message: str
    since: str
    hint: str | None = None


class PermissionStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that the plugin asks for or was granted, as the review says it.

    `state` is covered, partly_covered, denied or grant_only; `broad` says why it is broad access.
    """

    label: str
    kind: str
    state: str
    explanation: str
    broad: tuple[str, ...] = ()


class RefusedVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version that is enabled and does not run: what ran before it goes on."""

    version: str
    digest: str
    code: str
    message: str
    at: str


class ServiceStatus(msgspec.Struct, kw_only=True):
    """One enabled plugin as it runs on this host."""

    name: str
    reference: str
    version: str
    digest: str
    runtime: str
    lifecycle: str
    health: str = ""
    """`lifecycle`, or `degraded` while it runs and a connection is down or a secret is missing."""
    plugin_status: Any = None
    plugin_status_at: str | None = None
    """When the plugin said so."""
    missing_secrets: list[str] = []
    """Names in the operator's store that were granted and are not there."""
    queue_depth: int = 0
    queue_capacity: int = 0
    queue_bytes: int = 0
    queue_bytes_capacity: int = 0
    dead_letters: int = 0
    last_error: str | None = None
    last_error_code: str | None = None
    last_error_at: str | None = None
    restart_at: str | None = None
    refused_version: RefusedVersion | None = None
    counters: Counters
    commands: list[CommandResult] = []
    connections: list[ConnectionStatus] = []
    pull_sockets: list[PullSocketStatus] = []
    requests: list[RequestStatus] = []
    deferred_calls: list[DeferredCallStatus] = []
    permissions: tuple[PermissionStatus, ...] = ()
    """What it may do under the grants in force, and what it asks for in vain."""
    permissions_left_out: int = 0
    diagnostics: list[Diagnostic] = []
    alerts: list[Alert] = []
