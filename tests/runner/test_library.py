"""The library of a build: compiled by one interpreter, found and imported by another."""

import importlib
import sys

import pytest
from yoi_runner.library import compile_modules
from yoi_runner.stdlib import StdlibFinder


@pytest.fixture
def finder(tmp_path):
    for path, source in {
        "first/yy_one.py": '"""Doc."""\nWHERE = "first"\n',
        "first/yy_pack/__init__.py": "from yy_pack.inner import NAME\n",
        "first/yy_pack/inner.py": "NAME = __name__\ndef fails():\n    1 / 0\n",
        "first/test/yy_case.py": "",
        "first/not-a-name/yy_no.py": "",
        "first/runner_app.py": "",
        "first/yy_data.txt": "",
        "second/yy_one.py": 'WHERE = "second"\n',
        "second/yy_two.py": "import yy_one\n",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(source)
    found = StdlibFinder(*compile_modules([str(tmp_path / "first"), str(tmp_path / "second")]))
    sys.meta_path.append(found)
    yield found
    sys.meta_path.remove(found)
    for name in [name for name in sys.modules if name.startswith("yy_")]:
        del sys.modules[name]


def test_modules_of_every_root_are_there_and_the_first_root_wins(finder):
    names = {"yy_one", "yy_two", "yy_pack", "yy_pack.inner"}
    assert len(finder) == len(names)
    assert all(name in finder for name in names)
    assert importlib.import_module("yy_two").yy_one.WHERE == "first"


def test_packages_have_their_modules_and_files_of_no_folder(finder):
    package = importlib.import_module("yy_pack")
    assert package.NAME == "yy_pack.inner"
    assert package.__path__ == []
    assert finder.is_package("yy_pack")
    assert not finder.is_package("yy_pack.inner")


def test_code_names_no_folder_of_the_build(finder):
    assert finder.get_code("yy_pack.inner").co_filename == "<stdlib>/yy_pack/inner.py"
    assert importlib.import_module("yy_one").__doc__ is None, "texts are left out"
    assert finder.get_source("yy_one") is None


def test_what_is_not_there_is_left_to_others(finder):
    assert finder.find_spec("yy_three") is None
    with pytest.raises(ImportError, match="yy_three"):
        finder.get_code("yy_three")
