"""What stands in the distributions: `python packaging/contents.py dist`. Exits 1 with each fault.

`twine check` judges how the long description renders; this, what an index and a user find.
"""

import email.parser
import json
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from email.message import Message
from pathlib import Path

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
EXTRAS = {"yoi": {"openai", "anthropic", "google", "groq", "mistral"}, "yoi-pdk": set[str]()}
WANTED = {
    "yoi": {
        "yoi/py.typed",
        "yoi/_examples/echo/plugin.toml",
        "yoi/_schemas/yoi-toml.schema.json",
        "yoi/packages/_templates/websocket/plugin.toml",
        "yoi/sandbox/_runner/runner.wasm",
        "yoi/sandbox/_runner/runner.json",
        "yoi/backend/console/index.html",
    },
    "yoi-pdk": {"yoi_pdk/py.typed", "yoi_pdk/testing.py"},
}
TOP = {"yoi": "yoi/", "yoi-pdk": "yoi_pdk/"}
MOST_BYTES = 32 * 1024 * 1024


def main(folder: Path) -> int:
    """Print each fault of the distributions in `folder`; return 1 where there is one."""
    found = [*_wheels(folder), *_sources(folder)]
    for line in found:
        print(f"contents: {line}", file=sys.stderr)
    if not found:
        print("contents: two wheels and two source distributions, as an index asks for")
    return 1 if found else 0


def _wheels(folder: Path) -> Iterator[str]:
    names = set()
    for path in sorted(folder.glob("*.whl")):
        with zipfile.ZipFile(path) as wheel:
            files = set(wheel.namelist())
            info = next(name for name in files if name.endswith(".dist-info/METADATA"))
            told = email.parser.Parser().parsestr(wheel.read(info).decode())
            name = str(told["Name"])
            names.add(name)
            yield from (f"{path.name}: {fault}" for fault in _metadata(name, told))
            folder_of = info.removesuffix("METADATA")
            if f"{folder_of}licenses/LICENSE" not in files:
                yield f"{path.name}: no licence file"
            for file in sorted(WANTED.get(name, set()) - files):
                yield f"{path.name}: {file} is missing"
            for file in sorted(files):
                if not file.startswith((TOP.get(name, ""), folder_of)) or file.endswith(".pyc"):
                    yield f"{path.name}: {file} does not belong there"
            if name == "yoi" and "yoi/sandbox/_runner/runner.json" in files:
                record = json.loads(wheel.read("yoi/sandbox/_runner/runner.json"))
                if not {"runner", "python", "tool", "source"} <= record.keys():
                    yield f"{path.name}: the runner's record says too little"
        if path.stat().st_size > MOST_BYTES:
            yield f"{path.name}: larger than {MOST_BYTES} bytes"
    if names != set(WANTED):
        yield f"wheels of {sorted(names)} instead of {sorted(WANTED)}"


def _metadata(name: str, told: Message) -> Iterator[str]:
    for field in ("Version", "Summary", "Author", "Requires-Python", "Keywords"):
        if not told[field]:
            yield f"no {field}"
    if told["License-Expression"] != "MIT":
        yield "no License-Expression"
    if told["Description-Content-Type"] != "text/markdown" or len(str(told.get_payload())) < 500:
        yield "no long description"
    listed = told.get_all("Classifier") or []
    for version in PYTHONS:
        if f"Programming Language :: Python :: {version}" not in listed:
            yield f"no classifier for Python {version}"
    for extra in sorted(EXTRAS[name] - set(told.get_all("Provides-Extra") or ())):
        yield f"no extra {extra}"
    for asked in told.get_all("Requires-Dist") or ():
        if "@" in asked:
            yield f"an index refuses {asked}"
        if "pydantic" in asked and "extra ==" not in asked:
            yield f"a host without workers would install {asked}"


def _sources(folder: Path) -> Iterator[str]:
    found = sorted(folder.glob("*.tar.gz"))
    if len(found) != len(WANTED):
        yield f"{len(found)} source distributions instead of {len(WANTED)}"
    for path in found:
        with tarfile.open(path) as archive:
            files = {name.partition("/")[2] for name in archive.getnames()}
        for file in sorted({"LICENSE", "README.md", "pyproject.toml", "PKG-INFO"} - files):
            yield f"{path.name}: {file} is missing"
        for file in sorted(files):
            if file.startswith((".venv", ".git/", ".yoi/", "dist/")) or "__pycache__" in file:
                yield f"{path.name}: {file} does not belong there"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
