"""What is chosen among the releases that the resolver offers."""

import pytest

from yoi.errors import PackageError
from yoi.libraries.index import Candidate
from yoi.libraries.resolution import resolve
from yoi.limits import LIMITS


class Offers:
    """An index that offers these releases, whatever is asked for."""

    def __init__(self, *candidates):
        self._candidates = list(candidates)

    def resolve(self, requirements, keep=()):
        return self._candidates


def one(*files, marker=None, name="greet"):
    return Candidate(name, "1.0", marker, dict.fromkeys(files, "0" * 64))


@pytest.mark.parametrize(
    "file",
    [
        "greet-1.0-py3-none-any.whl",
        "greet-1.0-py2.py3-none-any.whl",
        "greet-1.0-py314-none-any.whl",
        "greet-1.0-py38-none-any.whl",
    ],
)
def test_a_wheel_for_any_platform_is_taken_and_a_compiled_one_beside_it_is_not(file):
    native = "greet-1.0-cp314-cp314-manylinux_2_17_x86_64.whl"
    (wheel,) = resolve(Offers(one(native, file)), ["greet"])
    assert wheel.file == file


@pytest.mark.parametrize(
    "file",
    [
        "greet-1.0-cp314-cp314-wasi.whl",
        "greet-1.0-py2-none-any.whl",
        "greet-1.0-py315-none-any.whl",
        "greet-1.0-cp314-cp314-any.whl",
        "greet-1.0.whl",
    ],
)
def test_no_other_wheel_will_do(file):
    with pytest.raises(PackageError) as refused:
        resolve(Offers(one(file)), ["greet"])
    assert refused.value.code == "package.library_native"


def test_releases_for_other_systems_do_not_count():
    other = one("greet-1.0-cp314-cp314-win32.whl", marker="sys_platform == 'win32'")
    ours = one("greet-1.0-py3-none-any.whl", marker="sys_platform != 'win32'")
    assert len(resolve(Offers(other, ours), ["greet"])) == 1


def test_more_libraries_than_a_review_can_show_are_refused():
    many = [one(f"g{n}-1.0-py3-none-any.whl", name=f"g{n}") for n in range(LIMITS.libraries + 1)]
    with pytest.raises(PackageError) as refused:
        resolve(Offers(*many), ["g0"])
    assert refused.value.code == "package.bounds"
