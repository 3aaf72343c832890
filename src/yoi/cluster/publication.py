"""`Publication`: what an operator decided, signed, for the machines of one deployment.

Nothing here reads a clock, a file or a socket. A machine takes a publication for true when the key
that its operator named has signed it, when it is of this machine's deployment, not over, and not
older than the newest one that this machine has seen.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from yoi.errors import ClusterError, SecretError
from yoi.journal.server_clock import clock_is_off
from yoi.limits import LIMITS, Limits
from yoi.secrets.deployment import DeploymentKey
from yoi.secrets.publisher import PublicKey, PublisherKey

_FORMAT = 1
_DAY_MS = 86_400_000
_SOON_DAYS = 5
"""Before the end of a publication a person is told."""
_SECRETS = "secrets"
_DOMAIN = b"yoi-publication-v1\0"
"""Signed before the content, so that a signature made for something else is none of ours."""
_ASK = "ask the operator; who publishes prints it: yoi cluster key"


class PublishedPackage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A package that plugins of a publication are made of, by its digest."""

    reference: str
    digest: str
    size_bytes: int


class Publication(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is signed."""

    format: int = _FORMAT
    deployment: str
    """Random, made with the first publication; another deployment has another one."""
    name: str
    """What `[cluster]` calls the deployment."""
    serial: int
    issued_at_ms: int
    expires_at_ms: int
    entries: dict[str, dict[str, Any]]
    """Of yoi.toml what is decided and published, as the store of decisions keeps it."""
    packages: tuple[PublishedPackage, ...] = ()
    sealed: bytes | None = None
    """The secrets that the entries name, by name, sealed with the deployment's key."""

    def days_left(self, now_ms: int) -> float:
        """Return for how many days machines still go by it."""
        return (self.expires_at_ms - now_ms) / _DAY_MS

    def ends_soon(self, now_ms: int) -> bool:
        """Return whether a person should publish again by now."""
        return self.days_left(now_ms) < _SOON_DAYS


class _Envelope(msgspec.Struct, forbid_unknown_fields=True):
    payload: bytes
    key: str
    signature: bytes


class Seen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The newest publication that a machine, or the publisher, has taken for true."""

    deployment: str
    serial: int
    digest: str


def signed(publication: Publication, key: PublisherKey, limits: Limits = LIMITS) -> bytes:
    """Return `publication` with its signature. Raises ClusterError `cluster.too_large`."""
    payload = msgspec.json.encode(publication, order="deterministic")
    envelope = _Envelope(payload, str(key.public), key.sign(_DOMAIN + payload))
    data = msgspec.json.encode(envelope)
    if len(data) > limits.publication_bytes:
        raise ClusterError(
            "cluster.too_large",
            f"what was decided comes to {len(data)} bytes; at most {limits.publication_bytes} are "
            "published",
            hint="fewer plugins and workers in one deployment, or smaller configs",
        )
    return data


@dataclass(frozen=True, slots=True)
class Expected:
    """What a machine goes by."""

    key: PublicKey
    name: str
    """What its `[cluster]` calls the deployment."""
    seen: Seen | None
    """None on a machine that has seen none."""


@dataclass(frozen=True, slots=True)
class Verified:
    """A publication that was taken for true, and what is to be remembered of it."""

    publication: Publication
    seen: Seen


def verify(data: bytes, expected: Expected, now_ms: int, limits: Limits = LIMITS) -> Verified:
    """Return the publication in `data` if the machine may go by it at `now_ms`.

    Raises ClusterError: `cluster.signature`, `cluster.deployment`, `cluster.replayed`,
    `cluster.expired`, `cluster.clock`, `cluster.publication`.
    """
    publication, seen = opened(data, expected.key, limits)
    if publication.name != expected.name:
        raise _of_another(
            f"it was published for the deployment {publication.name}, and [cluster] says "
            f"{expected.name}"
        )
    before = expected.seen
    if before is not None and publication.deployment != before.deployment:
        raise _of_another(
            f"the publication is of the deployment {publication.deployment[:8]}, and this machine "
            f"belongs to {before.deployment[:8]}: two deployments use the name {expected.name}"
        )
    if before is not None and (
        publication.serial < before.serial
        or (publication.serial == before.serial and seen.digest != before.digest)
    ):
        raise ClusterError(
            "cluster.replayed",
            f"the publication has the serial {publication.serial}, and this machine has gone by "
            f"{before.serial} already: an older or another one was put in its place",
            hint="publish again, where a person decides: yoi cluster publish",
            serial=publication.serial,
            seen=before.serial,
        )
    check_time(publication, now_ms, limits)
    return Verified(publication, seen)


def check_time(publication: Publication, now_ms: int, limits: Limits = LIMITS) -> None:
    """Raise ClusterError unless it is in force at `now_ms`: `cluster.clock`, `cluster.expired`."""
    if publication.issued_at_ms > now_ms + limits.cluster_skew_ms:
        ahead = (publication.issued_at_ms - now_ms) // 1000
        raise clock_is_off(f"the publication was signed {ahead} s from now, by this clock")
    if publication.expires_at_ms <= now_ms:
        ago = (now_ms - publication.expires_at_ms) // 1000
        raise ClusterError(
            "cluster.expired",
            f"the publication has expired {ago} s ago, by this machine's clock",
            hint="publish again, where a person decides: yoi cluster publish",
        )


def opened(data: bytes, key: PublicKey, limits: Limits = LIMITS) -> tuple[Publication, Seen]:
    """Return what `key` has signed in `data`, whatever it says.

    Raises ClusterError: `cluster.signature`, `cluster.publication`.
    """
    if len(data) > limits.publication_bytes:
        raise _malformed(f"it has {len(data)} bytes")
    try:
        envelope = msgspec.json.decode(data, type=_Envelope)
    except (msgspec.DecodeError, RecursionError):
        raise _malformed("it is no publication") from None
    if not key.has_signed(_DOMAIN + envelope.payload, envelope.signature):
        whose = "this key, and the signature is not its own"
        if envelope.key != str(key):
            whose = f"{envelope.key[:60]}, and this machine obeys {key}"
        raise ClusterError(
            "cluster.signature",
            f"the publication names {whose}",
            hint=f'[cluster] publisher = "..." in host.toml is the operator\'s key: {_ASK}',
        ) from None
    try:
        publication = msgspec.json.decode(envelope.payload, type=Publication)
    except (msgspec.DecodeError, RecursionError):
        raise _malformed("it was made by another version of Yoi") from None
    if publication.format != _FORMAT:
        raise _malformed(f"its format is {publication.format}, and this Yoi knows {_FORMAT}")
    digest = f"sha256:{hashlib.sha256(envelope.payload).hexdigest()}"
    return publication, Seen(publication.deployment, publication.serial, digest)


def seal_secrets(secrets: Mapping[str, str], key: DeploymentKey, deployment: str) -> bytes:
    """Return `secrets` sealed for the machines of `deployment`."""
    return key.seal(_SECRETS, deployment, msgspec.json.encode(dict(secrets)))


def secrets_of(publication: Publication, key: DeploymentKey | None) -> dict[str, str]:
    """Return the secrets that were published, by name.

    Raises ClusterError `cluster.key` where this machine has no key, or another one.
    """
    if publication.sealed is None:
        return {}
    if key is None:
        raise ClusterError(
            "cluster.key",
            "the published secrets are sealed, and this machine has no key to open them",
            hint='[cluster] key_file = "..." in host.toml: the file of `yoi cluster seal`, brought '
            "here by your own means",
        )
    try:
        data = key.open(_SECRETS, publication.deployment, publication.sealed)
        return msgspec.json.decode(data, type=dict[str, str])
    except (SecretError, msgspec.DecodeError):
        raise ClusterError(
            "cluster.key",
            "the published secrets are sealed with another key than this machine's",
            hint="the same key_file of [cluster] in host.toml on every machine, also on the one "
            "that publishes",
        ) from None


def _malformed(why: str) -> ClusterError:
    return ClusterError(
        "cluster.publication",
        f"the publication cannot be used: {why}",
        hint="publish again, where a person decides: yoi cluster publish",
    )


def _of_another(why: str) -> ClusterError:
    return ClusterError(
        "cluster.deployment",
        why,
        hint='give one of the two deployments another name: [cluster] name = "..."',
    )
