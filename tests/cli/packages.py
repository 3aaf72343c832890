"""Plugins for the tests, written out as folders."""

from pathlib import Path

# Everything a stranger might put where a person looks: terminal, markup, bidi, C1, newline.
HOSTILE = "\x1b[2J\x1b]0;pwned\x07[red]x[/red]\u202egnp.exe\x9b31m\r\nfake: ok"
FORBIDDEN = ("\x1b[2J", "\x1b]0", "\x07", "\x9b", "\u202e", "\nfake: ok")

MANIFEST = """\
schema_version = 1
id = "relay"
name = "Relay"
version = "1.2.0"
description = "Passes messages on."

[runtime]
kind = "python"
runner = "1"
entry = "plugin:Relay"

[[services]]
name = "chat"
description = "Answers"

[[ingresses]]
name = "events"

[[connections]]
name = "gateway"
ingress = "events"
url = "wss://gateway.example.com/ws"
target = { scheme = "wss", host = "gateway.example.com", path_prefixes = ["/ws"] }
deliver = ["text", "gap"]
subprotocols = ["chat.v2"]
headers = { X-Client = "relay" }

[[tools]]
name = "post"
description = "Posts a message"
external_write = true
[tools.input_schema]
type = "object"

[config_schema]
type = "object"
required = ["channel"]
additionalProperties = false
[config_schema.properties.channel]
type = "string"
[config_schema.properties.limit]
type = "integer"
"""

BROAD = """
[[websocket]]
scheme = "wss"
host = "*"
path_prefixes = ["/"]
"""

SOURCE = "class Relay:\n    pass\n"

GRANT = """\
permissions = [
    { kind = "surface", surface = "service" },
    { kind = "service", name = "chat" },
    { kind = "tool", name = "never-asked-for" },
]

[[websocket]]
scheme = "wss"
host = "gateway.example.com"
path_prefixes = ["/ws/v2"]
"""


def write_plugin(folder: Path, manifest: str = MANIFEST, source: str = SOURCE) -> Path:
    """Write a plugin into `folder` and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plugin.toml").write_text(manifest)
    (folder / "plugin.py").write_text(source)
    return folder


def toml_text(text: str) -> str:
    """Return a TOML basic string that holds any text."""
    return '"' + "".join(f"\\U{ord(char):08x}" for char in text) + '"'
