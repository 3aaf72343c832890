"""What a manifest may say and had better not: accepted, told by `check` and in the review."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from yoi.limits import LIMITS, MIB
from yoi.packages.declarations import IngressDecl
from yoi.permissions.connection_settings import ConnectionSettings
from yoi.permissions.targets import UrlTarget, in_words

_STEP_MS = 500
"""A deadline to write is a multiple of it."""


@dataclass(frozen=True, slots=True)
class ManifestWarning:
    """Something that is accepted and does not do all that it says; `at` is the dotted path."""

    at: str
    message: str


def durable_sizes(
    connections: Sequence[ConnectionSettings], ingresses: Sequence[IngressDecl]
) -> Iterator[ManifestWarning]:
    """Tell of each connection that allows messages no record of its ingress on disk can hold."""
    most = LIMITS.journal_record_bytes
    durable = {one.name for one in ingresses if one.route.durable}
    for link in connections:
        size = link.target.max_message_bytes
        if link.ingress in durable and size > most:
            yield ManifestWarning(
                _target_of(link),
                f"allows {size} bytes, and a record of the ingress {link.ingress} on disk holds "
                f'{most}: larger messages are refused; durability = "memory" takes them',
            )


def reading_times(
    connections: Sequence[ConnectionSettings],
    requests: Sequence[UrlTarget],
    ingresses: Sequence[IngressDecl],
) -> Iterator[ManifestWarning]:
    """Tell of each size that a Python plugin may not read within its ingress's deadline.

    An answer to a request is an event of the ingress that asked, so the most patient one counts.
    """
    by_name = {one.name: one for one in ingresses}
    for link in connections:
        ingress = by_name.get(link.ingress)
        if ingress is not None:
            yield from _reading(_target_of(link), link.target, ingress)
    if ingresses:
        patient = max(ingresses, key=lambda one: one.deadline_ms)
        for index, target in enumerate(requests):
            yield from _reading(f"request[{index}].max_answer_bytes", target, patient)


def _reading(at: str, target: UrlTarget, ingress: IngressDecl) -> Iterator[ManifestWarning]:
    size = target.max_message_bytes
    takes_ms = -(-size * LIMITS.guest_json_ms_per_mib // MIB)
    if size <= LIMITS.message_bytes or takes_ms <= ingress.deadline_ms:
        return
    # As much again for what the plugin does with it.
    enough_ms = min(-(-2 * takes_ms // _STEP_MS) * _STEP_MS, LIMITS.dispatch_max_ms)
    yield ManifestWarning(
        at,
        f"allows {in_words(size)}: to read as much JSON takes a Python plugin up to {takes_ms} ms, "
        f"and the ingress {ingress.name} gives it {ingress.deadline_ms}: write "
        f"deadline_ms = {enough_ms} for it",
    )


def _target_of(link: ConnectionSettings) -> str:
    return f"connections.{link.name}.target.max_message_bytes"
