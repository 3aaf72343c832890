"""Write the reference pages that are made from code: `python docs/generate.py`.

tests/docs fails when a page is out of date.
"""

import dataclasses
from pathlib import Path

from yoi.errors import CODES, YoiError
from yoi.limits import KIB, MIB, Limits
from yoi.protocol.diagnostics import NOTICES

HERE = Path(__file__).parent / "reference"


def errors() -> str:
    """Return docs/reference/errors.md."""
    families = {cls.family: cls for cls in _tree(YoiError)}
    lines = [
        "# Error codes",
        "",
        "Every error, denial and diagnostic carries one of these codes. They are stable: never",
        "reused, never renamed. Scripts branch on them; people read the message and the hint.",
        "",
        "This page is generated from `src/yoi/errors.py` and `src/yoi/protocol/diagnostics.py`.",
    ]
    last = ""
    for code, meaning in CODES.items():
        family = code.partition(".")[0]
        if family != last:
            last = family
            cls = families.get(family)
            doc = (cls.__doc__ or "").splitlines()[0] if cls is not None else ""
            lines += ["", f"## {family}", ""]
            if cls is not None:
                lines += [f"`{cls.__name__}`: {doc} Exit status {cls.exit_status}.", ""]
            lines += ["| code | meaning |", "|---|---|"]
        lines.append(f"| `{code}` | {meaning} |")
    lines += ["", "## Notices", "", "Diagnostics that are not errors.", ""]
    lines += ["| code | meaning |", "|---|---|"]
    lines += [f"| `{code}` | {meaning} |" for code, meaning in NOTICES.items()]
    return "\n".join(lines) + "\n"


def limits() -> str:
    """Return docs/reference/limits.md."""
    lines = [
        "# Bounds",
        "",
        "Every queue, buffer, list, name and time in Yoi is bounded, here and nowhere else. The",
        "unit is in the name. This page is generated from `src/yoi/limits.py`.",
        "",
        "| bound | value | why |",
        "|---|---|---|",
    ]
    for field in dataclasses.fields(Limits):
        why = field.metadata["why"]
        lines.append(f"| `{field.name}` | {_amount(field.name, field.default)} | {why} |")
    return "\n".join(lines) + "\n"


PAGES = {"errors.md": errors, "limits.md": limits}


def _tree(cls: type[YoiError]) -> list[type[YoiError]]:
    found = [cls]
    for sub in cls.__subclasses__():
        found += _tree(sub)
    # A family is described by its topmost class.
    return list(reversed(found))


def _amount(name: str, value: object) -> str:
    if not isinstance(value, int):
        return str(value)
    if name.endswith("_bytes") and value >= MIB and value % MIB == 0:
        return f"{value // MIB} MiB"
    if name.endswith("_bytes") and value >= KIB and value % KIB == 0:
        return f"{value // KIB} KiB"
    return f"{value:,}"


def main() -> None:
    """Write every page."""
    for name, make in PAGES.items():
        (HERE / name).write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    main()
