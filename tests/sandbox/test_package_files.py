"""Files of a package inside the sandbox: any bytes, as resources, libraries beside one's own."""

import json

import msgspec
import pytest

from yoi.errors import GuestRefused
from yoi.limits import LIMITS
from yoi.sandbox.package_files import PackageFiles
from yoi.sandbox.sandbox import deny_all

from .conftest import run_on_guest_thread
from .test_runner_guest import HEAD, value

PNG = b"\x89PNG\r\n\x1a\n\x00\xff"
LATIN = "# coding: latin-1\nNAME = 'gr\xfc\xdfe'\n".encode("latin-1")
LIBRARY = {
    "greet/__init__.py": b"from importlib.metadata import version\nfrom greet.deep import WORD\n",
    "greet/deep/__init__.py": b"from importlib.resources import files\n"
    b"WORD = files('greet').joinpath('data', 'de', 'word.bin').read_bytes()\n",
    "greet/data/de/word.bin": PNG,
    "greet-2.5.dist-info/METADATA": b"Metadata-Version: 2.1\nName: Greet\nVersion: 2.5\n\nHello",
}


def test_a_file_of_any_bytes_is_read_as_a_resource(sandbox):
    got = value(
        sandbox,
        "[list(files('pkg').joinpath('logo.png').read_bytes()),"
        " list(pkgutil.get_data('pkg', 'sub/logo.png')),"
        " sorted(one.name for one in files('pkg').iterdir()),"
        " (files('pkg') / 'sub' / 'logo.png').is_file(), (files('pkg') / 'none').is_file()]",
        "import pkg, pkgutil\nfrom importlib.resources import files",
        files={"pkg/__init__.py": b"", "pkg/logo.png": PNG, "pkg/sub/logo.png": PNG},
    )
    assert got == [list(PNG), list(PNG), ["__init__.py", "logo.png", "sub"], True, False]


def test_source_is_read_as_python_reads_it(sandbox):
    files = {"marked.py": b"\xef\xbb\xbfNAME = 'mark'\n", "latin.py": LATIN}
    got = value(
        sandbox,
        "[marked.NAME, latin.NAME, inspect.getsource(latin.here)]",
        "import inspect, latin, marked",
        files=files | {"latin.py": LATIN + b"def here(): pass\n"},
    )
    assert got == ["mark", "gr\xfc\xdfe", "def here(): pass\n"]


def test_a_library_is_imported_with_its_data_and_its_version(sandbox):
    def work():
        source = (
            f"import json, greet\n{HEAD}"
            "    def on_tool(self, call, ctx):\n"
            "        version = greet.version('greet')\n"
            "        return json.dumps([list(greet.WORD), version, greet.__file__])\n"
        )
        guest = sandbox.load_python({"plugin.py": source.encode()}, "plugin:P", libraries=LIBRARY)
        try:
            guest.start("null", LIMITS.start_ms)
            return json.loads(json.loads(guest.call_tool("t", "{}", LIMITS.start_ms))["summary"])
        finally:
            guest.close()

    assert run_on_guest_thread(work) == [list(PNG), "2.5", "libs/greet/__init__.py"]


def test_memory_that_is_used_up_while_importing_names_the_setting(sandbox):
    source = f"import big\n{HEAD}    pass\n"
    files = {"plugin.py": source.encode(), "big.py": b"X = bytearray(200_000_000)\n"}
    with pytest.raises(GuestRefused) as refused:
        run_on_guest_thread(lambda: sandbox.load_python(files, "plugin:P"))
    assert refused.value.code == "sandbox.memory"
    assert "memory_bytes" in refused.value.message


@pytest.mark.parametrize("argument", ['["plugin/none"]', '["none"]', "[]", "{", '["libs/a"]', "1"])
def test_what_is_not_in_the_package_is_not_there(argument):
    files = PackageFiles({"a": b"x"}, {"b": b"y"}, deny_all)
    assert msgspec.json.decode(files("package.read", argument))["error"]["code"] == (
        "package.missing"
    )


def test_other_calls_go_to_the_host():
    files = PackageFiles({}, {}, lambda op, argument: f"{op} {argument}")
    assert files("state.get", "[]") == "state.get []"
