"""What is written to stdout: the lines of singer-python."""

import io
import math
import sys
from contextlib import nullcontext
from datetime import datetime, timezone

import pytest
import singer
from hypothesis import given
from hypothesis import strategies as st

from tap_helpscout.output import MessageWriter
from tap_helpscout.records import RecordMessage
from tests.examples import examples

NOW = datetime(2026, 2, 28, 23, 59, 59, 5, tzinfo=timezone.utc)
FINITE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def written(message):
    """What is on stdout after a message."""
    text, stdout = io.StringIO(), sys.stdout
    try:
        sys.stdout = text
        MessageWriter(nullcontext())(message)
    finally:
        sys.stdout = stdout
    return text.getvalue()


@examples(100)
@given(st.dictionaries(st.text(), FINITE, max_size=4))
def test_each_line_is_that_of_singer_python(values):
    for message in (
        singer.RecordMessage("users", values, 7, NOW),
        singer.SchemaMessage("users", values, ["id"], ["updated_at"]),
        singer.StateMessage({**values, "bookmarks": {}}),
        singer.ActivateVersionMessage("users", 7),
    ):
        assert written(message) == singer.format_message(message) + "\n"


@pytest.mark.parametrize("version", [None, 7])
def test_a_record_is_that_of_singer_python(version):
    message = singer.RecordMessage("users", {"id": 1}, version, NOW)
    assert written(RecordMessage("users", {"id": 1}, version, NOW)) == written(message)


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan])
def test_nor_does_it_write_what_is_no_json(number):
    message = singer.RecordMessage("users", {"id": number})
    for write in (written, singer.format_message):
        with pytest.raises(ValueError):
            write(message)
