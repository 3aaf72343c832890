"""What a person types about a call that waits."""

import pytest

from yoi.cli.deciding import decision, seconds, typed
from yoi.errors import UsageError

ARGUMENTS = '{"channel": "C1", "a/b~": 2}'


@pytest.mark.parametrize(
    ("line", "made"),
    [
        ("y\n", {"approved": True, "scope": "once"}),
        ("n", {"approved": False, "scope": "once"}),
        ("r", {"approved": True, "scope": "run"}),
        ("e", {"approved": True, "scope": "exact"}),
        (
            "m channel a/b~",
            {
                "approved": True,
                "scope": "matching",
                "matches": [
                    {"at": "/channel", "equals": "C1"},
                    {"at": "/a~1b~0", "equals": 2},
                ],
            },
        ),
        ("\n", None),
    ],
)
def test_an_answer_at_the_prompt(line, made):
    assert typed(line, ARGUMENTS) == made


@pytest.mark.parametrize("line", ["yy", "m", "m gone", "y channel", "n x", "approve"])
def test_what_is_no_answer_decides_nothing(line):
    with pytest.raises(UsageError):
        typed(line, ARGUMENTS)


def test_matches_and_times_are_read_strictly():
    assert seconds("90m") == 5400
    (match,) = decision("matching", ['{ at = "", prefix = "x" }'], "2h", deny=False)["matches"]
    assert match == {"at": "", "prefix": "x"}
    for bad in ("0h", "2", "-1h", "1w"):
        with pytest.raises(UsageError):
            seconds(bad)
    with pytest.raises(UsageError):
        decision("matching", ['at = "/a", equals = 1 } , x = { a = 1'], None, deny=False)
