"""Finder, resources and metadata of the guest, without a guest."""

import base64
import json
import pkgutil
import sys
from importlib import metadata, resources

import pytest
from yoi_runner.failures import failure
from yoi_runner.package import LIBRARIES, OWN, PackageFinder, reader

FILES = {
    "plugin/solo_pkg/__init__.py": b"",
    "plugin/solo_pkg/data/words.txt": "größe\r\n".encode(),
    "plugin/solo_pkg/logo.bin": bytes(range(256)),
    "libs/solo_lib.py": "# coding: latin-1\nNAME = 'ü'\n".encode("latin-1"),
    "libs/Solo_Lib-3.2.dist-info/METADATA": b"Metadata-Version: 2.1\nName: Solo.Lib\nVersion: 3.2",
}


def host(op, argument):
    assert op == "package.read"
    (path,) = json.loads(argument)
    if path not in FILES:
        return '{"error": {"code": "package.missing", "message": "none"}}'
    return json.dumps({"ok": {"base64": base64.b64encode(FILES[path]).decode()}})


@pytest.fixture
def importing(monkeypatch):
    read = reader(host)
    for root in (OWN, LIBRARIES):
        paths = [path.removeprefix(root) for path in FILES if path.startswith(root)]
        monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, PackageFinder(root, paths, read)])
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("solo_"):
            del sys.modules[name]


def test_resources_are_folders_and_files(importing):
    top = resources.files("solo_pkg")
    assert top.joinpath("logo.bin").read_bytes() == bytes(range(256))
    words = top / "data" / "words.txt"
    assert words.read_text(encoding="utf-8") == "größe\n"
    with words.open("rb") as file:
        assert file.read() == "größe\r\n".encode()
    assert (words.name, words.is_file(), words.is_dir()) == ("words.txt", True, False)
    assert [one.name for one in top.iterdir()] == ["__init__.py", "data", "logo.bin"]
    assert pkgutil.get_data("solo_pkg", "logo.bin") == bytes(range(256))


@pytest.mark.parametrize(
    ("use", "error"),
    [
        (lambda top: top.joinpath("none").read_bytes(), FileNotFoundError),
        (lambda top: top.joinpath("logo.bin", "deeper").read_bytes(), FileNotFoundError),
        (lambda top: top.joinpath("..", "solo_lib.py").read_bytes(), FileNotFoundError),
        (lambda top: top.joinpath("data").read_bytes(), IsADirectoryError),
        (lambda top: list(top.joinpath("logo.bin").iterdir()), NotADirectoryError),
        (lambda top: top.joinpath("logo.bin").open("w"), ValueError),
    ],
)
def test_what_is_not_there_is_an_error_that_python_code_expects(importing, use, error):
    with pytest.raises(error):
        use(resources.files("solo_pkg"))


def test_source_has_its_own_encoding_and_a_distribution_its_version(importing):
    import solo_lib  # type: ignore[import-not-found]

    assert solo_lib.NAME == "ü"
    assert solo_lib.__loader__.get_source("solo_lib").startswith("# coding")
    for name in ("solo-lib", "Solo.Lib", "SOLO_LIB"):
        assert metadata.version(name) == "3.2"
    assert "Solo.Lib" in {one.name for one in metadata.distributions()}
    with pytest.raises(metadata.PackageNotFoundError):
        metadata.version("solo")


def test_the_authors_line_is_told_however_deep_a_library_is():
    names = {}
    exec(compile("def deep(n): return deep(n - 1) if n else 1 / 0", "libs/l.py", "exec"), names)
    exec(compile("def mine(): return deep(20)", "plugin/plugin.py", "exec"), names)
    with pytest.raises(ZeroDivisionError) as caught:
        names["mine"]()
    trace = failure(caught.value)["trace"]
    assert trace.startswith("plugin/plugin.py:1 in mine")
    assert trace.count("libs/l.py") == 5
