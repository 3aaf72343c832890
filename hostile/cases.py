"""What a hostile plugin is here, and the whole corpus: those of the tests, and generated ones."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hostile.components import COMPONENTS
from hostile.handlers import FORGED, HANDLERS, MODULES

TESTS = Path(__file__).resolve().parent.parent / "tests" / "sandbox" / "hostile"

_PLUGIN = """
from yoi_pdk import *
{module}

class Hostile(Plugin):
    kept = None
    def on_text(self, event, ctx):
{body}
"""


@dataclass(frozen=True, slots=True)
class Case:
    """One hostile package: `source` of a Python plugin, or the bytes of a `component`."""

    name: str
    source: str = ""
    component: bytes = b""
    frames: int = 3
    """Slow harm needs more than one event."""
    frame: str = "x"
    """What its server sends it."""
    connection: str = ""
    """More lines of its `[[connections]]`."""
    tables: str = ""
    """More of its manifest; the first lines may be keys of the top level."""
    secrets: tuple[str, ...] = ()
    """Secrets that it is granted, as they are called in both places."""

    @property
    def silent(self) -> bool:
        """Whether anything that it sends would be the loot of an escape."""
        return self.name.startswith("escape_")


def corpus() -> list[Case]:
    """Return all cases, in a fixed order; names are unique."""
    cases = [*_of_the_tests(), *_generated()]
    names = [case.name for case in cases]
    assert len(set(names)) == len(names), "two cases have one name"
    return cases


def _of_the_tests() -> Iterator[Case]:
    for path in sorted(TESTS.glob("*.py")):
        yield Case(path.stem, path.read_text(encoding="utf-8", errors="surrogateescape"))


def _generated() -> Iterator[Case]:
    for name, body in HANDLERS.items():
        yield Case(name, _PLUGIN.format(module="", body=_indented(body)), frames=5)
    for name, module in MODULES.items():
        yield Case(name, _PLUGIN.format(module=module, body="        return event.reply('well')"))
    for name, answer in FORGED.items():
        # In base64: what is forged may not be text that TOML, Python or a terminal would take.
        packed = base64.b64encode(answer.encode("utf-8", "surrogatepass")).decode()
        module = (
            "import base64\nimport yoi_runner.dispatch as d\n"
            f"FORGED = base64.b64decode({packed!r}).decode('utf-8', 'surrogatepass')"
        )
        body = "        d._answer = lambda head, bodies: FORGED.replace('EVENT', event.id)"
        yield Case(name, _PLUGIN.format(module=module, body=body))
    for name, component in COMPONENTS.items():
        yield Case(name, component=component)


def _indented(body: str) -> str:
    return "\n".join("        " + line for line in body.strip().split("\n"))
