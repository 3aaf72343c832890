"""Which publication an owner of a log goes by: it stands in the first record that an owner writes.

A machine without memory can be shown an older publication by somebody who writes to the servers.
A log that was owned under a newer one is not taken over under it.
"""

import msgspec

from yoi.errors import JournalError


class PublicationMark(msgspec.Struct, frozen=True, array_like=True):
    """One publication of one deployment."""

    deployment: str
    serial: int


def check_not_older(
    mark: PublicationMark | None, seen: PublicationMark | None, log: str
) -> PublicationMark | None:
    """Return what the next record of the owner of `log` says, who goes by `mark`.

    `seen` is what the last owner said; where this one goes by none, that is said again. Raises
    JournalError `cluster.replayed` where the last owner went by a newer publication of the same
    deployment.
    """
    if mark is None or seen is None:
        return mark or seen
    if mark.deployment == seen.deployment and mark.serial < seen.serial:
        raise JournalError(
            "cluster.replayed",
            f"the last owner of {log} went by the publication {seen.serial}, and this machine goes "
            f"by {mark.serial}: an older one may have been put in its place",
            hint="it is tried again; if it stays so, publish again, where a person decides: "
            "yoi cluster publish",
            serial=mark.serial,
            seen=seen.serial,
        )
    return mark
