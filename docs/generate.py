"""Write the reference pages that are made from code: `python docs/generate.py`.

tests/docs fails when a page is out of date.
"""

import dataclasses
from pathlib import Path

from yoi.errors import CODES, YoiError
from yoi.limits import KIB, MIB, Limits
from yoi.permissions import headers
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


def header_rules() -> str:
    """Return docs/reference/headers.md."""
    lines = [
        "# Headers",
        "",
        "Which headers a plugin may set: in `headers` of a `[[connections]]` table, in a",
        "`websocket_open` command, and in a request. `yoi plugin check` refuses the others in a",
        "manifest; at run time the command or call is refused.",
        "",
        "Names are compared without regard to case, and every character that is no letter or digit",
        "is read as a hyphen: `X_Forwarded_For` is `x-forwarded-for`. This page is generated from",
        "`src/yoi/permissions/headers.py`.",
        "",
        "## Nobody sets these",
        "",
        "Not the manifest, not the plugin, and no secret is inserted there.",
        "",
        "| names | why |",
        "|---|---|",
    ]
    for kind, names in headers.NAMES.items():
        begun = [f"`{prefix}…`" for prefix in headers.PREFIXES.get(kind, ())]
        shown = ", ".join([*(f"`{name}`" for name in names), *begun])
        lines.append(f"| {shown} | {headers.WHY[kind]} |")
    words = ", ".join(f"`{word}`" for word in headers.CREDENTIAL_WORDS)
    parts = ", ".join(f"`{part}`" for part in headers.CREDENTIAL_PARTS)
    plain = ", ".join(f"`{name}`" for name in headers.NOT_CREDENTIALS)
    lines += [
        "",
        "## Only a secret is inserted into these",
        "",
        "The manifest declares the secret and its place, the operator grants it, and the host puts",
        "it in ([permissions](permissions.md)). A name carries a credential when",
        "",
        f"- one of its words (what stands between hyphens) is {words}, or ends in `key`;",
        f"- {parts} stands anywhere in it.",
        "",
        f"Not counted: {plain}.",
        "",
        "## Everything else",
        "",
        "Any other header may be set, `User-Agent` too (`yoi/VERSION` is sent without it).",
        "Those of a manifest stand in the review. A request's `Accept` may not ask for an event",
        "stream.",
    ]
    return "\n".join(lines) + "\n"


PAGES = {"errors.md": errors, "headers.md": header_rules, "limits.md": limits}


def _tree(cls: type[YoiError]) -> list[type[YoiError]]:
    found = [cls]
    for sub in cls.__subclasses__():
        found += _tree(sub)
    # A family is described by its topmost class.
    return list(reversed(found))


def _amount(name: str, value: object) -> str:
    if value == ():
        return "none"
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
