"""How large an archive may be: a package's own, and the one of its libraries inside of it."""

from dataclasses import dataclass

from yoi.limits import LIMITS


@dataclass(frozen=True, slots=True)
class ArchiveBounds:
    """Bounds of one kind of archive, checked when it is read and when it is written."""

    bytes: int
    entries: int
    file_bytes: int
    expanded_bytes: int


PACKAGE = ArchiveBounds(
    LIMITS.package_bytes,
    LIMITS.package_entries,
    LIMITS.package_file_bytes,
    LIMITS.package_expanded_bytes,
)
LIBRARIES = ArchiveBounds(
    LIMITS.library_bytes, LIMITS.library_entries, LIMITS.library_bytes, LIMITS.library_bytes
)
