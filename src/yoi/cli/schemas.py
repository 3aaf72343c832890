"""`yoi schema`: the JSON Schemas of plugin.toml, yoi.toml and host.toml, for editors."""

import json
from enum import StrEnum
from importlib.resources import files
from typing import TYPE_CHECKING, Annotated, Any

import typer

from yoi.cli.options import Json
from yoi.cli.output import document as in_json

if TYPE_CHECKING:
    from yoi.toml import TableSpec


class Document(StrEnum):
    """A file that has a schema."""

    MANIFEST = "manifest"
    YOI_TOML = "yoi-toml"
    HOST_TOML = "host-toml"


def schema(
    document: Annotated[
        Document,
        typer.Argument(metavar="FILE", help="manifest (plugin.toml), yoi-toml or host-toml."),
    ],
    as_json: Json = False,
) -> None:
    """Print the JSON Schema of a file, for an editor that completes and checks TOML.

    With --json it stands under `schema`, beside the name of the file.
    """
    packaged = files("yoi") / "_schemas" / f"{document}.schema.json"
    text = packaged.read_text(encoding="utf-8")
    if as_json:
        print(in_json({"file": document.value, "schema": json.loads(text)}))
    else:
        print(text, end="")


def described() -> dict[Document, "TableSpec[Any]"]:
    """Return the table that each document is."""
    from yoi.cluster.settings import CLUSTER
    from yoi.limits import LIMITS
    from yoi.mcp.settings import MCP
    from yoi.packages.enablement import ENTRY
    from yoi.packages.manifest import MANIFEST
    from yoi.secrets.authorizations import AUTHORIZATIONS
    from yoi.secrets.workspace import SECRETS
    from yoi.serving.host_settings import HOST_FILE
    from yoi.serving.listeners import OBSERVATION, RUNTIME
    from yoi.serving.settings import BACKEND
    from yoi.toml import Key, Nested, Rows, TableSpec
    from yoi.workers.profile import WORKER

    plugins = TableSpec[Any](
        (Key("enabled", Rows(ENTRY, LIMITS.enabled_plugins), "see `[[plugins.enabled]]`"),),
        lambda row: row,
        about="What is switched on.",
    )
    secrets = SECRETS.extended(Key("authorize", AUTHORIZATIONS, "how tokens are asked for"))
    yoi_toml = TableSpec[Any](
        (
            Key("plugins", Nested(plugins), "what is switched on"),
            Key("workers", Rows(WORKER, LIMITS.workers), "agents"),
            Key("mcp", Nested(MCP), "the Model Context Protocol"),
            Key("observation", Nested(OBSERVATION), "the listener for browsers and observers"),
            Key("runtime", Nested(RUNTIME), "the listener of a runtime for backends elsewhere"),
            Key("backend", Nested(BACKEND), "which runtimes elsewhere are read"),
            Key("cluster", Nested(CLUSTER), "several machines, one of which runs"),
            Key("secrets", Nested(secrets), "which secret store is used"),
        ),
        lambda row: row,
    )
    return {
        Document.MANIFEST: MANIFEST,
        Document.YOI_TOML: yoi_toml,
        Document.HOST_TOML: HOST_FILE,
    }
