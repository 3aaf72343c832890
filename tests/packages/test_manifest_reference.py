"""Documentation is a test: docs/reference/manifest.md names every key, and its examples parse."""

import re
import tomllib
from pathlib import Path

import pytest

from yoi.packages import (
    Enablement,
    Manifest,
    connection_table,
    declarations,
    folder,
    manifest,
    schema,
)
from yoi.permissions import secrets
from yoi.permissions.connection_settings import Deliver, OnFull, Open, Ready

TEXT = (Path(__file__).parents[2] / "docs" / "reference" / "manifest.md").read_text()
EXAMPLES = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)

WORDS = {
    *manifest.MANIFEST.keys,
    *manifest.SURFACES,
    *connection_table.CONNECTION.keys,
    *connection_table.BACKOFF.keys,
    *connection_table.RECONNECT.keys,
    *connection_table.LAST.keys,
    *Open,
    *Ready,
    *secrets.SECRET.keys,
    *secrets.CAPTURE.keys,
    *declarations.INGRESS.keys,
    *declarations.RUNTIME.keys,
    *declarations.TOOL.keys,
    *declarations.SERVICE.keys,
    *declarations.WORLDS,
    *schema.TYPES,
    *schema._ALL_KEYWORDS,
    *Deliver,
    *OnFull,
    *(kind.event_kind for kind in Deliver),
    *folder._CACHES,
    *folder._BUILD,
    "captures",
}


@pytest.mark.parametrize("word", sorted(map(str, WORDS)))
def test_every_word_is_documented(word):
    assert re.search(rf"`[^`\n]*\b{re.escape(word)}\b[^`\n]*`", TEXT), f"`{word}` is not documented"


def test_the_examples_are_accepted():
    whole, connection, enablement = EXAMPLES
    parsed = Manifest.parse(whole.encode())
    assert parsed.connections[0].name == "gateway"
    without = whole[: whole.index("[[connections]]")]
    assert Manifest.parse((without + connection).encode()).connections[0].on_full == "drop_oldest"
    loaded = Enablement.parse(enablement.encode(), Path("yoi.toml"))
    assert loaded.diagnostics == ()
    assert loaded.entries[0].config == tomllib.loads(enablement)["plugins"]["enabled"][0]["config"]
