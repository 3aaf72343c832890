from tests.chaos.recorded import EMPTY, all_of_it, bookmark

from chaos.transcript import Place, Saved, Transcript, saved, steps


def written(path, lines):
    transcript = Transcript(path)
    for line in lines:
        transcript.write(*line)
    transcript.close()


def test_a_frame_and_a_value_are_read_alike(tmp_path):
    told = {"id": "aa-0.s", "cursor": "c-aa-0", "payload": EMPTY}
    written(tmp_path / "library", [["value", "Snapshot", told]])
    written(tmp_path / "socket", [all_of_it()[1]])
    [mine] = steps(tmp_path / "library")
    assert [mine] == list(steps(tmp_path / "socket"))
    assert mine.place == Place("aa", 0)


def test_a_line_that_a_kill_cut_short_was_never_heard(tmp_path):
    path = tmp_path / "client.jsonl"
    written(path, all_of_it()[:4])
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    assert len(list(steps(path))) == 3
    assert saved(path) == Saved("c-aa-1", Place("aa", 1))
    written(path, [bookmark("aa", 9)])
    assert len(list(steps(path))) == 4
    assert saved(path) == Saved("c-aa-9", Place("aa", 1))


def test_who_has_heard_nothing_has_no_cursor(tmp_path):
    assert saved(tmp_path / "none.jsonl") == Saved()
    written(tmp_path / "client.jsonl", [["open", None, False]])
    assert saved(tmp_path / "client.jsonl") == Saved()
