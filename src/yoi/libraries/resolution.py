"""Which wheels a plugin gets for what its author asks for; what does not fit is refused by name."""

import contextlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from yoi.errors import PackageError
from yoi.libraries.index import Candidate, Index, Pin, missing
from yoi.limits import LIMITS
from yoi.packages.guest_library import MODULES, PYTHON
from yoi.packages.libraries import Library, canonical

if TYPE_CHECKING:
    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet

    from yoi.libraries.unpacked import Unpacked

try:
    from packaging.markers import Marker
    from packaging.requirements import InvalidRequirement
    from packaging.requirements import Requirement as parse_requirement
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename
except ImportError:
    raise missing("packaging") from None

GUEST = {
    "implementation_name": "cpython",
    "implementation_version": PYTHON,
    "os_name": "posix",
    "platform_machine": "wasm32",
    "platform_python_implementation": "CPython",
    "platform_release": "0.0.0",
    "platform_system": "wasi",
    "platform_version": "0.0.0",
    "python_full_version": PYTHON,
    "python_version": PYTHON.rpartition(".")[0],
    "sys_platform": "wasi",
}
"""The environment that markers are evaluated for: the sandbox's, whatever the host's is."""

_NAME = re.compile(r"\s*[A-Za-z0-9][A-Za-z0-9._-]*")
_PART = re.compile(r"(===|==|~=|!=|<=|>=|<|>)\s*([^\s,()<>=!~]+)")
_MINOR = int(PYTHON.split(".")[1])
_INTERPRETERS = frozenset({"py3", f"cp3{_MINOR}"} | {f"py3{n}" for n in range(_MINOR + 1)})


@dataclass(frozen=True, slots=True)
class Wheel:
    """The wheel that was chosen for one distribution."""

    name: str
    version: str
    file: str
    sha256: str

    @property
    def pin(self) -> Pin:
        """Return what is fetched."""
        return Pin(self.name, self.version, self.sha256)


def requirement(text: str) -> "Requirement":
    """Return what an author asked for: a name, extras, versions.

    Raises PackageError (`package.library_missing`) for anything else, such as a URL or a path.
    """
    try:
        found = parse_requirement(text)
    except InvalidRequirement:
        found = None
    if found is None or found.url is not None or found.marker is not None or len(text) > 200:
        raise PackageError(
            "package.library_missing",
            f"{text[:200]} is not the name of a library",
            hint="yoi plugin add NAME, or NAME==VERSION",
        )
    return found


def resolve(
    index: Index, requested: Sequence[str], keep: Iterable[Library] = ()
) -> tuple[Wheel, ...]:
    """Return a wheel for each distribution that `requested` needs in the sandbox, by name.

    Raises PackageError: `package.library_native` where the newest release that fits has compiled
    code, `package.bounds`, and what `Index.resolve` raises.
    """
    candidates = index.resolve(requested, [(one.name, one.version) for one in keep])
    fitting = [one for one in candidates if one.marker is None or _applies(one.marker)]
    if len(fitting) > LIMITS.libraries:
        raise PackageError(
            "package.bounds",
            f"{', '.join(requested)} would bring {len(fitting)} libraries; at most "
            f"{LIMITS.libraries} are allowed",
            hint="use a library that needs less",
        )
    native = [one for one in fitting if _pure(one) is None]
    if native:
        raise _native(native, requested)
    chosen = [Wheel(canonical(c.name), c.version, *_pure(c)) for c in fitting]  # type: ignore[misc]
    return tuple(sorted(chosen, key=lambda one: one.name))


def check_newest(
    index: Index,
    requested: Sequence[str],
    wheels: Sequence[Wheel],
    found: "dict[str, Unpacked]",
    kept: Iterable[Library] = (),
) -> None:
    """Refuse a release that is older than one that all requirements allow.

    A newer one may have been passed over because it comes only as source, needs another Python, or
    needs what cannot be had. Raises PackageError (`package.library_older`).
    """
    held = {(one.name, one.version) for one in kept}
    wanted = _wanted(requested, found)
    for wheel in wheels:
        parts = [part for specifier in wanted.get(wheel.name, []) for part in specifier]
        if any(part.operator in ("==", "===") for part in parts):
            continue
        if (wheel.name, wheel.version) in held:
            continue
        rules = [f">{wheel.version}", *map(str, parts)]
        why = index.unusable_newer(f"{wheel.name}{','.join(rules)}")
        if why is not None:
            raise PackageError(
                "package.library_older",
                f"only an older release of {wheel.name}, {wheel.version}, runs in the sandbox: "
                f"{why}",
                hint=f"take it knowingly: yoi plugin add {wheel.name}=={wheel.version}",
            )


def _wanted(
    requested: Sequence[str], found: "dict[str, Unpacked]"
) -> "dict[str, list[SpecifierSet]]":
    """Return the versions that the author and the distributions themselves allow, by name."""
    extras: dict[str, set[str]] = {}
    while True:
        known = {name: frozenset(some) for name, some in extras.items()}
        wanted: dict[str, list[SpecifierSet]] = {}
        rows = [("", parse_requirement(text)) for text in requested]
        for name, one in found.items():
            rows += [(name, row) for row in map(_lenient, one.requires) if row is not None]
        for owner, row in rows:
            asked = ["", *known.get(owner, ())]
            if row.marker is None or any(_applies(str(row.marker), extra) for extra in asked):
                name = canonical(row.name)
                wanted.setdefault(name, []).append(row.specifier)
                extras.setdefault(name, set()).update(map(canonical, row.extras))
        if known == {name: frozenset(some) for name, some in extras.items()}:
            return wanted


def _lenient(text: str) -> "Requirement | None":
    """Return what a line of metadata asks for, also where only uv understands it."""
    with contextlib.suppress(InvalidRequirement):
        return parse_requirement(text)
    asked, mark, marker = text.partition(";")
    name = _NAME.match(asked)
    parts = [
        op + (version if op in ("==", "!=") else version.removesuffix(".*"))
        for op, version in _PART.findall(asked)
    ]
    with contextlib.suppress(InvalidRequirement):
        return parse_requirement(f"{name[0] if name else ''}{','.join(parts)}{mark}{marker}")
    return None


def _applies(marker: str, extra: str = "") -> bool:
    return Marker(marker).evaluate({**GUEST, "extra": extra})


def _pure(candidate: Candidate) -> tuple[str, str] | None:
    """Return file name and hash of the wheel for any platform, or None."""
    for file, sha256 in sorted(candidate.wheels.items()):
        try:
            tags = parse_wheel_filename(file)[3]
        except InvalidWheelFilename:
            continue
        if any(
            tag.platform == "any" and tag.abi == "none" and tag.interpreter in _INTERPRETERS
            for tag in tags
        ):
            return file, sha256
    return None


def _native(native: Sequence[Candidate], requested: Sequence[str]) -> PackageError:
    named = ", ".join(f"{one.name} {one.version}" for one in native)
    asked = {canonical(requirement(text).name) for text in requested}
    names = [*asked, *(one.name for one in native)]
    advice = [
        MODULES[name.replace("-", "_")] for name in names if name.replace("-", "_") in MODULES
    ]
    needed_by = asked - {canonical(one.name) for one in native}
    why = f" ({', '.join(sorted(needed_by))} needs it)" if needed_by and len(asked) == 1 else ""
    return PackageError(
        "package.library_native",
        f"{named} has compiled code, which does not run in the sandbox{why}",
        hint=advice[0] if advice else "use a library that is all Python",
        libraries=[canonical(one.name) for one in native],
    )
