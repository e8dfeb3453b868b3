"""What is written to stdout: the lines of singer-python."""

import io
import sys
from contextlib import nullcontext
from datetime import datetime, timezone

import singer
from hypothesis import given
from hypothesis import strategies as st

from tap_helpscout.output import MessageWriter
from tests.unit.json_values import JSON

NOW = datetime(2026, 2, 28, 23, 59, 59, 5, tzinfo=timezone.utc)


@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_each_line_is_that_of_singer_python(values):
    messages = [
        singer.RecordMessage("users", values, 7, NOW),
        singer.SchemaMessage("users", values, ["id"], ["updated_at"]),
        singer.StateMessage({"bookmarks": {}, **values}),
        singer.ActivateVersionMessage("users", 7),
    ]
    written, stdout = io.StringIO(), sys.stdout
    try:
        sys.stdout = written
        for message in messages:
            MessageWriter(nullcontext())(message)
    finally:
        sys.stdout = stdout
    assert written.getvalue().splitlines() == [singer.format_message(one) for one in messages]
