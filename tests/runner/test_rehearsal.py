"""The plugin that lives before the snapshot leaves nothing behind."""

import marshal
import sys

from yoi_runner.rehearsal import rehearse
from yoi_runner.stdlib import StdlibFinder


def test_nothing_is_left_of_it_and_each_part_succeeds():
    before = list(sys.meta_path), set(sys.modules)
    rehearse(StdlibFinder(marshal.dumps(({}, set())), b""))
    assert (list(sys.meta_path), set(sys.modules)) == before
