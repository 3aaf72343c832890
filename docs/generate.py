"""Write the reference pages that are made from code: `python docs/generate.py`.

tests/docs fails when a page is out of date.
"""

import dataclasses
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yoi.cli import schemas
from yoi.cluster import settings as cluster
from yoi.core import halts
from yoi.errors import CODES, YoiError
from yoi.limits import KIB, MIB, Limits
from yoi.mcp import settings as mcp
from yoi.packages import connection_table, declarations, enablement, manifest, sequence
from yoi.permissions import headers, secrets, signature_tables, targets
from yoi.protocol.diagnostics import NOTICES
from yoi.secrets import authorizations, workspace
from yoi.serving import host_settings, listeners, network_settings
from yoi.serving import settings as serving
from yoi.toml import TableSpec, json_schema, key_rows
from yoi.workers import profile, rules

if TYPE_CHECKING:
    from collections.abc import Iterable

HERE = Path(__file__).parent / "reference"
SCHEMAS = Path(__file__).parent.parent / "src" / "yoi" / "_schemas"


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
        "unit is in the name. Those that depend on the machine may be set in its",
        "[host.toml](host-toml.md). This page is generated from `src/yoi/limits.py`.",
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
        "Any other header may be set, `User-Agent` too; without it, what `user_agent` of",
        "[host.toml](host-toml.md#network) says is sent, or `yoi/VERSION`.",
        "Those of a manifest stand in the review. A request's `Accept` may not ask for an event",
        "stream.",
    ]
    return "\n".join(lines) + "\n"


_KEYS = {
    "manifest": manifest.MANIFEST,
    "runtime": declarations.RUNTIME,
    "tools": declarations.TOOL,
    "services": declarations.SERVICE,
    "ingresses": declarations.INGRESS,
    "dedupe": declarations.DEDUPE,
    "connections": connection_table.CONNECTION,
    "backoff": connection_table.BACKOFF,
    "reconnect": connection_table.RECONNECT,
    "last": connection_table.LAST,
    "insert": connection_table.INSERT,
    "sequence": sequence.SEQUENCE,
    "secrets": secrets.REQUESTED_SECRET,
    "sign": signature_tables.SIGN,
    "puts": signature_tables.PUT,
    "jwt": signature_tables.JWT,
    "captures": secrets.CAPTURE,
}
_BLOCK = re.compile(r"(<!-- keys: (\w+) -->\n).*?(<!-- end of keys -->)", re.DOTALL)


def manifest_page() -> str:
    """Return docs/reference/manifest.md: its tables of keys are made, the rest is written."""
    page = (HERE / "manifest.md").read_text(encoding="utf-8")
    return _BLOCK.sub(lambda m: m[1] + "\n".join(key_rows(_KEYS[m[2]])) + "\n" + m[3], page)


_YOI_TOML = (
    ("[[plugins.enabled]]", enablement.ENTRY),
    ("[plugins.enabled.grants]", enablement.GRANTS),
    ("[[plugins.enabled.grants.websocket]]", targets.TARGETS[targets.TargetKind.WEBSOCKET]),
    ("[[plugins.enabled.grants.request]]", targets.TARGETS[targets.TargetKind.REQUEST]),
    ("[[plugins.enabled.grants.secrets]]", secrets.GRANTED_SECRET),
    ("[[workers]]", profile.WORKER),
    ("[[workers.tools]]", rules.TOOL),
    ("[[workers.notify]]", rules.NOTIFY),
    ("[[workers.tickets]]", rules.TICKETS),
    ("[[workers.mcp]]", rules.MCP),
    ("[[workers.mcp.tools]]", rules.MCP_TOOL),
    ("[[workers.script]]", profile.SCRIPT),
    ("[[mcp.servers]]", mcp.SERVER),
    ("[[mcp.servers.environment]]", mcp.ENVIRONMENT),
    ("[[mcp.servers.headers]]", mcp.HEADER),
    ("[[mcp.servers.tools]]", mcp.APPROVED),
    ("[[mcp.tools]]", mcp.SERVED_TOOL),
    ("[[mcp.events]]", mcp.SERVED_EVENTS),
    ("[observation]", listeners.OBSERVATION),
    ("[runtime]", listeners.RUNTIME),
    ("[[backend.runtimes]]", serving.UPSTREAM),
    ("[cluster]", cluster.CLUSTER),
    ("[secrets]", workspace.SECRETS),
    ("[[secrets.authorize]]", authorizations.AUTHORIZE),
)


_FAULTS = (
    "| where the fault is | what it does |",
    "|---|---|",
    "| a table of `[[plugins.enabled]]`, `[[workers]]`, `[[mcp.servers]]`, `[[mcp.tools]]` or "
    "`[[mcp.events]]` | that one is off and told; the others run |",
    "| a key of `[mcp]` itself, `workers` that are no tables | it is told; the others run |",
    "| `[secrets]` | no secret is there, and each plugin that needs one says why; the others run |",
    "| `[[secrets.authorize]]` | `yoi secret authorize` refuses it; nothing else reads it |",
    "| `[observation]`, `[runtime]`, `[[backend.runtimes]]`, `[cluster]`, an unknown table "
    "| a host does not start; one that runs goes on as it was started |",
    "| a key of `[plugins]` itself, text that is not TOML | a host does not start; for one that "
    "runs, what the file said before stays in force, and an alert says so |",
    "",
    "`yoi doctor` finds them before a host starts.",
)


def yoi_toml() -> str:
    """Return docs/reference/yoi-toml.md."""
    return _tables(
        [
            "# yoi.toml",
            "",
            "`.yoi/yoi.toml` says what a workspace runs. What it says is in force as far as the",
            "operator of this account decided it ([trust](../design/trust.md)). A table or key",
            "that is not here is refused. An editor completes and checks it after",
            "`yoi schema yoi-toml > .yoi/yoi-toml.schema.json`, with this first line of the file:",
            "",
            "```toml",
            "#:schema ./yoi-toml.schema.json",
            "```",
            "",
            "This page is generated from the tables that the parsers use.",
            "",
            "## A fault in the file",
            "",
            *_FAULTS,
        ],
        _YOI_TOML,
    )


def host_toml() -> str:
    """Return docs/reference/host-toml.md."""
    return _tables(
        [
            "# host.toml",
            "",
            "What the operator says about this machine: `yoi/host.toml` below `$XDG_CONFIG_HOME`",
            "or `~/.config`, the file that `YOI_HOST_CONFIG` names, or `--host-config FILE` of",
            "`yoi serve`, `yoi runtime` and `yoi backend`. `[network]` is looked at every few",
            "seconds, and in force from the next dial on; the rest is read at the start. No",
            "workspace can change it. A file or folder that other accounts can write, or that",
            "belongs to another account than this one and root, is refused; so is a table or key",
            "that is not here. `yoi schema host-toml` prints its JSON Schema.",
            "",
            "This page is generated from the tables that the parser uses.",
            "",
            "```toml",
            "[host]",
            "connections = 500",
            "",
            "[network]",
            'assume_public = ["198.18.0.0/15"]',
            'proxy = "http://proxy.example:3128"',
            'no_proxy = ["*.home.arpa", "192.168.0.0/16"]',
            "",
            "[[network.authorities]]",
            'host = "*.home.arpa"',
            'file = "home-ca.pem"',
            "```",
            "",
            "`[observation]` and `[runtime]` are written as in [yoi.toml](yoi-toml.md) and take",
            "the place of the workspace's tables as a whole; relative paths are below the folder",
            "of host.toml.",
        ],
        (
            ("[host]", host_settings.HOST),
            ("[network]", network_settings.NETWORK),
            ("[journal]", host_settings.JOURNAL),
            ("[[network.authorities]]", network_settings.AUTHORITY),
            ("[alerts]", host_settings.ALERTS),
            ("[cluster]", host_settings.CLUSTER),
        ),
    )


def connection_ends() -> str:
    """Return docs/reference/connection-ends.md."""
    lines = [
        "# What ends a connection for good",
        "",
        "The host dials a connection again after nearly everything: a lost socket, an outage, a",
        "server in trouble. Here is the rest, and what makes the host dial again. `halt` and",
        "`revived_by` of `yoi service status --json` have the words of the first column and of the",
        "list below.",
        "",
        "This page is generated from `src/yoi/core/halts.py`.",
        "",
        "| `halt` | why | dialled again after |",
        "|---|---|---|",
    ]
    for halt, why in halts.WHY.items():
        changes = ", ".join(f"`{one}`" for one in halts.Change if one in halts.REVIVED_BY[halt])
        lines.append(f"| `{halt}` | {why} | {changes} |")
    lines += ["", "| `revived_by` | what it is |", "|---|---|"]
    lines += [f"| `{change}` | {how} |" for change, how in halts.HOW.items()]
    lines += [
        "",
        f"401 and 403 end a connection after {Limits().unauthorised_dials} without a session",
        "between, with the usual pauses between them.",
        "A message over the granted size closes the session with 1009.",
        f"{Limits().oversized_sessions} sessions in a row end the connection so, unless one",
        "went well for an hour before; the error says which `max_message_bytes` would let the",
        "message in.",
        "After 404 and 410 another URL of the plugin's is dialled at once, once in a row. A",
        "`Retry-After` of a 429 or 503 is waited for, by connections and requests alike; a person",
        "need not wait.",
        "",
    ]
    return "\n".join(lines)


def _tables(lines: list[str], tables: "Iterable[tuple[str, TableSpec[Any]]]") -> str:
    for heading, spec in tables:
        lines += ["", f"## {heading}", "", spec.about, "", *key_rows(spec)]
    return "\n".join(lines) + "\n"


PAGES = {
    "connection-ends.md": connection_ends,
    "errors.md": errors,
    "headers.md": header_rules,
    "host-toml.md": host_toml,
    "limits.md": limits,
    "manifest.md": manifest_page,
    "yoi-toml.md": yoi_toml,
}


def schema_of(document: schemas.Document) -> str:
    """Return the JSON Schema that the wheel ships for `document`."""
    made = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": str(document),
        **json_schema(schemas.described()[document]),
    }
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"


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
    for document in schemas.Document:
        (SCHEMAS / f"{document}.schema.json").write_text(schema_of(document), encoding="utf-8")


if __name__ == "__main__":
    main()
