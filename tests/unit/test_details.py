"""Rows that are each asked for by themselves."""

import pytest

from tap_helpscout.errors import ApiError
from tap_helpscout.reading.details import RowDetails
from tap_helpscout.streams import STREAMS
from tests.unit.lists import InProcessClient, row

REPLIES = STREAMS["saved_replies"]
CONTEXT = {"mailbox_id": 7, "start": "x"}


class Replies(InProcessClient):
    """A client that knows some rows by id; what is an error is raised."""

    def __init__(self, known, **options):
        super().__init__(**options)
        self.known, self.asked = known, []

    def get(self, path, params, tries):
        assert params == REPLIES.detail.params and tries
        key = int(path.removeprefix("/v2/mailboxes/7/saved-replies/"))
        self.asked.append(key)
        answer = self.known.get(key, ApiError("gone", 404))
        if isinstance(answer, ApiError):
            raise answer
        return answer


@pytest.fixture(name="details")
def _details():
    return RowDetails(REPLIES, REPLIES.detail)


def completed(details, known, rows, **options):
    return list(details.complete(Replies(known, is_lazy=True, **options), rows, CONTEXT))


@pytest.mark.parametrize("options", [{}, {"depth": 3}])
def test_a_row_has_what_its_detail_says_and_keeps_its_place(details, options):
    known = {key: {"id": key, "text": f"t{key}", "name": None} for key in range(10)}
    rows = [row(key, name="n", preview="p") for key in range(10)]
    assert completed(details, known, rows, **options) == [
        {"id": key, "name": None, "preview": "p", "text": f"t{key}"} for key in range(10)
    ]
    assert rows[0] == row(0, name="n", preview="p") and details.gone == 0


def test_a_row_that_is_gone_is_left_out_and_counted(details, caplog):
    assert completed(details, {1: {"a": 1}, 3: {"a": 3}}, [row(1), row(2), row(3)]) == [
        {"id": 1, "a": 1},
        {"id": 3, "a": 3},
    ]
    assert details.gone == 1
    assert "saved_replies: id 2 was deleted or merged meanwhile, skipped" in caplog.text


def test_where_no_row_is_there_the_details_are_not(details):
    with pytest.raises(ApiError, match="answered 404 for each row") as caught:
        completed(details, {}, [row(1)])
    assert "deselect" in str(caught.value) and caught.value.status is None


def test_one_that_was_there_before_shows_that_details_are(details):
    assert completed(details, {1: {}}, [row(1)]) == [row(1)]
    assert not completed(details, {}, [row(2)]) and details.gone == 1


def test_any_other_failure_is_raised(details):
    with pytest.raises(ApiError, match="no"):
        completed(details, {1: {}, 2: ApiError("no", 403)}, [row(1), row(2), row(3)])


@pytest.mark.parametrize("answer", [[], None, "x", 5])
def test_a_detail_that_is_no_object_is_an_error(details, answer):
    with pytest.raises(ApiError, match="saved-replies/1 answered without an object"):
        completed(details, {1: answer}, [row(1)])


@pytest.mark.parametrize("odd", [{}, {"id": None}])
def test_a_row_that_nothing_tells_apart_stays_as_it_is(details, odd):
    client = Replies({1: {"text": "t"}})
    assert list(details.complete(client, [odd, row(1)], CONTEXT)) == [odd, row(1, text="t")]
    assert client.asked == [1]


def test_an_empty_list_needs_no_detail(details):
    assert not completed(details, {}, []) and details.gone == 0


@pytest.mark.parametrize("depth", [0, 3])
def test_as_many_details_are_on_their_way_as_may_be(details, depth):
    client = Replies({key: {} for key in range(50)}, depth=depth)
    next(details.complete(client, map(row, range(50)), CONTEXT))
    assert client.asked == list(range(depth + 1))
