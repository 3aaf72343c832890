import json

from hypothesis import given
from hypothesis import strategies as st

from yoi.protocol.parts import joined, parts_fault

scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
documents = st.dictionaries(st.text(max_size=4), scalars, max_size=3) | st.lists(
    scalars, max_size=3
)


def test_parts_are_written_one_after_the_other():
    assert joined(["40", {"token": "a\n"}]) == '40{"token":"a\\n"}'
    assert joined(["SEND\n\n", [1], "\0"]) == "SEND\n\n[1]\0"


@given(st.text(min_size=1, max_size=8), documents)
def test_where_values_are_inserted_the_document_is_the_one_that_was_granted(literal, document):
    """Whatever the literal text, what follows it is a document of its own, begun at a bracket."""
    if parts_fault([literal, document], [{"at": "/1/a", "secret": "s"}], 100) is None:
        written = joined([literal, document])
        start = min(at for at in (written.find("{"), written.find("[")) if at >= 0)
        assert written[:start] == literal
        assert json.loads(written[start:]) == document
