"""A file of settings counts when two looks agree and it is not half written."""

from hypothesis import given
from hypothesis import strategies as st

from yoi.core.settings_file import Phase, SettingsFile
from yoi.limits import LIMITS

OLD, NEW = b"[network]\nproxy = 1\n", b"[network]\nproxy = 2\n"
PATIENCE = LIMITS.being_written_ms / 1000


def test_another_content_is_taken_at_the_second_look_and_once():
    file = SettingsFile(OLD)
    assert not file.look(OLD, 0)
    assert not file.look(NEW, 1)
    assert file.phase is Phase.UNSTABLE
    assert file.look(NEW, 2)
    assert (file.phase, file.look(NEW, 3)) == (Phase.SETTLED, False)


def test_a_content_that_was_there_for_one_look_is_not_taken():
    file = SettingsFile(OLD)
    assert not file.look(NEW, 0)
    assert not file.look(OLD, 1)
    assert not file.look(NEW, 2)
    assert file.look(NEW, 3)


def test_a_beginning_waits_and_is_taken_when_nothing_more_comes():
    file = SettingsFile(OLD)
    for now, content in enumerate([b"", OLD[:5], OLD[:9]]):
        assert not file.look(content, now)
        assert file.phase is Phase.WRITING
    assert not file.look(OLD, 4)
    assert file.phase is Phase.SETTLED
    assert not file.look(OLD[:9], 5)
    assert not file.look(OLD[:9], 5 + PATIENCE - 0.1)
    assert file.look(OLD[:9], 5 + PATIENCE)


def test_a_file_that_is_gone_or_empty_is_never_taken():
    file = SettingsFile(OLD)
    assert not file.look(None, 0)
    assert not file.look(b" \n", PATIENCE)
    assert (file.phase, file.quiet) == (Phase.UNUSABLE, True)
    assert not file.look(NEW, PATIENCE + 1)
    assert file.look(NEW, PATIENCE + 2)


def test_where_there_was_none_a_file_is_taken():
    file = SettingsFile(None)
    assert not file.look(None, PATIENCE)
    assert not file.look(NEW, PATIENCE + 1)
    assert file.look(NEW, PATIENCE + 2)


@given(st.lists(st.sampled_from([None, b"", OLD[:4], OLD, NEW, b"x"]), max_size=30))
def test_only_what_two_looks_saw_is_ever_taken(contents):
    file, taken, before = SettingsFile(OLD), OLD, OLD
    for now, content in enumerate(contents):
        if file.look(content, now):
            assert content == before != taken
            taken = content
        before = content
