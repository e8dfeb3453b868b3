"""Embedded threads: when they are used, and when they are listed instead."""

import pytest

from tap_helpscout.errors import ApiError
from tap_helpscout.reading.comparison import Comparison
from tap_helpscout.reading.embeds import (
    ENOUGH_MATCHES,
    FEW_LISTINGS,
    FIRST_SAMPLE,
    PAGES_AHEAD,
    REQUESTS_PER_LISTING,
    SAMPLE_FACTOR,
    CutDetector,
    EmbedState,
    EmbedVerifier,
    Treatment,
)
from tap_helpscout.reading.lists import read_children
from tap_helpscout.streams import STREAMS
from tests.unit.lists import InProcessClient, at

EMBED = STREAMS["conversation_threads"].embed
USE, LIST, COMPARE = Treatment.USE, Treatment.LIST, Treatment.LIST_AND_COMPARE


def thread(key, kind="message", state="published", body="", files=()):
    return {
        "id": key,
        "type": kind,
        "state": state,
        "body": body,
        "_embedded": {"attachments": list(files)},
    }


LINE_ITEM = thread(1, "lineitem")
EVERY_KIND = [
    LINE_ITEM,
    thread(2, state="draft"),
    thread(3, state="hidden"),
    thread(4, files=[{"id": 9}]),
    thread(5, body="long " * 100),
]


def conversation(*threads, key=7, count=None, kind="email"):
    published = sum(one["state"] == "published" and one["type"] != "lineitem" for one in threads)
    return {
        "id": key,
        "type": kind,
        "threads": published if count is None else count,
        "_embedded": {"threads": list(threads)},
    }


WHOLE = conversation(*EVERY_KIND)
PLAIN = conversation(thread(50), key=8)


@pytest.mark.parametrize("kind, waits", [("email", True), ("chat", False)])
def test_only_a_listing_that_is_compared_is_waited_for(verifier, kind, waits):
    """A chat's threads are listed in any case, and decide nothing."""
    parent = conversation(*EVERY_KIND, kind=kind)
    verifier.note_page([parent])
    threads, client = STREAMS["conversation_threads"], InProcessClient(is_lazy=True)
    children = read_children(client, threads, {"conversation_id": "7"}, parent, verifier)
    assert children.is_listed and children.load.blocks is waits


def compare(verifier, parent, listed):
    comparison = Comparison(verifier, parent)
    for row in listed:
        comparison.add(row)
    comparison.finish()


@pytest.fixture(name="verifier")
def _verifier():
    return EmbedVerifier(EMBED)


@pytest.fixture(name="verified")
def _verified(verifier):
    verifier.note_page([WHOLE, PLAIN])
    compare(verifier, WHOLE, EVERY_KIND)
    assert verifier.state is EmbedState.VERIFIED
    return verifier


def test_nothing_is_used_before_a_listing_with_a_line_item_has_matched(verifier):
    assert verifier.treatment(PLAIN) is COMPARE
    compare(verifier, PLAIN, [thread(50)])
    assert verifier.state is EmbedState.UNVERIFIED and verifier.treatment(PLAIN) is COMPARE


def test_each_is_compared_until_all_kinds_were_shown(verifier):
    parent = conversation(LINE_ITEM, thread(5))
    verifier.note_page([parent, conversation(*[thread(n) for n in range(9)], key=9)])
    assert verifier.treatment(parent) is COMPARE
    compare(verifier, parent, [LINE_ITEM, thread(5)])
    assert verifier.state is EmbedState.UNVERIFIED  # no draft, hidden thread or attachment so far
    assert {verifier.treatment(parent) for _ in range(4)} == {COMPARE}
    verifier.note_page([WHOLE])
    assert verifier.state is EmbedState.VERIFIED


CHAT = conversation(thread(60), key=10, kind="chat")


def test_requests_are_expected_for_what_is_listed_in_any_case_and_what_is_compared(verifier):
    assert verifier.requests_for(0) == 0
    verifier.note_page([PLAIN])
    assert verifier.requests_for(1000) == ENOUGH_MATCHES  # no kind was shown
    assert verifier.requests_for(5) == 5
    compare(verifier, PLAIN, [thread(50)])
    assert verifier.requests_for(1000) == ENOUGH_MATCHES - 1
    verifier.note_page([WHOLE])
    assert verifier.requests_for(1000) == FEW_LISTINGS - 1
    compare(verifier, WHOLE, EVERY_KIND)
    assert verifier.requests_for(1000) == 0
    verifier.note_page([CHAT, CHAT])
    assert verifier.requests_for(1000) == 500 * REQUESTS_PER_LISTING
    sample = [CHAT, PLAIN, PLAIN, PLAIN]
    assert verifier.requests_for(1000, sample) == 250 * REQUESTS_PER_LISTING
    compare(verifier, PLAIN, [])
    assert verifier.requests_for(1000) == verifier.requests_for(1000, sample)
    assert verifier.requests_for(1000) == 1000 * REQUESTS_PER_LISTING


def read(verifier, pages, reads):
    """The pages, noted as they are read, each of which is told to `reads`."""
    for number, page in enumerate(pages):
        if isinstance(page, ApiError):
            raise page
        reads.append(number)
        verifier.note_page(page)
        yield number


def test_pages_are_read_until_every_kind_was_shown_before_the_first_is_used(verifier):
    pages, reads = [[PLAIN], [PLAIN], [WHOLE], [PLAIN]], []
    ahead = verifier.look_ahead(read(verifier, pages, reads))
    assert next(ahead) == 0 and reads == [0, 1, 2]
    assert list(ahead) == [1, 2, 3]


def test_only_so_many_pages_are_read_for_a_kind_that_the_account_has_not(verifier):
    reads = []
    ahead = verifier.look_ahead(read(verifier, [[PLAIN]] * (PAGES_AHEAD + 5), reads))
    assert next(ahead) == 0 and len(reads) == PAGES_AHEAD
    assert list(ahead) == list(range(1, PAGES_AHEAD + 5))


def test_where_embedded_threads_are_not_used_no_page_waits(verifier):
    verifier.distrust()
    reads = []
    assert next(verifier.look_ahead(read(verifier, [[PLAIN]] * 3, reads))) == 0 and reads == [0]


def test_a_page_that_cannot_be_read_costs_none_of_those_before_it(verifier):
    ahead = verifier.look_ahead(read(verifier, [[PLAIN], [PLAIN], ApiError("broken", 500)], []))
    assert [next(ahead), next(ahead)] == [0, 1]
    with pytest.raises(ApiError, match="broken"):
        next(ahead)


def test_the_listing_that_may_verify_all_others_is_waited_for(verifier):
    verifier.note_page([WHOLE])
    assert verifier.waits_for(WHOLE) and not verifier.waits_for(PLAIN)
    compare(verifier, WHOLE, EVERY_KIND)
    assert not verifier.waits_for(WHOLE)


def test_many_matches_stand_for_kinds_that_the_account_has_not(verifier):
    parent = conversation(LINE_ITEM, thread(5))
    for _ in range(ENOUGH_MATCHES):
        assert verifier.state is EmbedState.UNVERIFIED
        compare(verifier, parent, [LINE_ITEM, thread(5)])
    assert verifier.state is EmbedState.VERIFIED


def test_once_verified_they_are_used_and_sampled_ever_more_rarely(verified):
    found = [verified.treatment(PLAIN) for _ in range(300)]
    samples = [number for number, one in enumerate(found, 1) if one is COMPARE]
    assert samples[0] == FIRST_SAMPLE and len(samples) == 3
    assert all(
        later > (SAMPLE_FACTOR - 1) * earlier for earlier, later in zip(samples, samples[1:])
    )


DIFFERENT = {
    "a body is cut": [*EVERY_KIND[:4], thread(5, body="long")],
    "one is missing": EVERY_KIND[:4],
    "one more": [*EVERY_KIND, thread(6)],
    "no attachments": [*EVERY_KIND[:3], thread(4), EVERY_KIND[4]],
}


@pytest.mark.parametrize("listed", DIFFERENT.values(), ids=DIFFERENT)
def test_a_listing_that_differs_in_anything_ends_their_use(verified, listed):
    assert verified.treatment(PLAIN) is USE
    compare(verified, WHOLE, listed)
    assert verified.state is EmbedState.DISABLED and verified.used_doubtful
    assert verified.treatment(PLAIN) is LIST


def test_a_thread_that_was_written_since_the_run_began_proves_nothing(verified):
    verified.run_start = at(100)
    assert verified.treatment(PLAIN) is USE
    compare(verified, WHOLE, [*EVERY_KIND, {**thread(6), "createdAt": at(100).isoformat()}])
    assert verified.state is EmbedState.VERIFIED
    compare(verified, WHOLE, [*EVERY_KIND, {**thread(6), "createdAt": at(99).isoformat()}])
    assert verified.state is EmbedState.DISABLED


def test_nothing_is_doubtful_where_nothing_was_used(verifier):
    compare(verifier, WHOLE, EVERY_KIND[:4])
    assert verifier.state is EmbedState.DISABLED and not verifier.used_doubtful


def test_links_and_the_order_make_no_difference(verifier):
    listed = [{**one, "_links": {"self": {}}} for one in reversed(EVERY_KIND)]
    verifier.note_page([WHOLE])
    compare(verifier, WHOLE, listed)
    assert verifier.state is EmbedState.VERIFIED


@pytest.mark.parametrize(
    "parent",
    [
        conversation(thread(1), kind="chat"),
        conversation(thread(1), thread(2, "chat")),
        conversation(thread(1), thread(2, "beaconchat")),
        conversation(thread(1), count=2),
        conversation(LINE_ITEM, count=1),
        conversation(),
        {"id": 7, "threads": 0},
        {"id": 7, "threads": 1, "_embedded": {"threads": [None]}},
        {"id": 7, "threads": "1", "_embedded": {"threads": [thread(1)]}},
    ],
    ids=str,
)
def test_what_cannot_be_whole_is_listed_and_proves_nothing(verified, parent):
    assert verified.treatment(parent) is LIST


@pytest.mark.parametrize("key", [[], {}], ids=str)
def test_an_embedded_row_that_nothing_tells_apart_makes_none_comparable(verified, key):
    assert verified.treatment(conversation({**thread(1), "id": key})) is LIST


def test_what_is_longer_than_all_that_was_checked_is_checked(verified):
    longer = conversation(thread(1, body="x" * 9000))
    verified.note_page([longer])
    assert verified.treatment(longer) is COMPARE
    compare(verified, longer, [thread(1, body="x" * 9000)])
    assert verified.treatment(longer) is USE


def test_a_size_may_be_a_cut_if_nothing_larger_was_seen_or_checked():
    detector = CutDetector()
    detector.note(10)
    assert detector.may_be_cut(10) and not detector.may_be_cut(9)
    detector.note(11)
    assert not detector.may_be_cut(10) and detector.may_be_cut(11)
    detector.confirm(11)
    assert not detector.may_be_cut(11)


def test_an_embed_that_fails_from_the_start_is_given_up_and_one_that_worked_is_not(verifier):
    def get(params, _):
        if params:
            raise ApiError("broken", 500)
        return "without"

    verifier.fetch(lambda params, tries: params)
    assert verifier.fetch(get) == "without" and verifier.state is EmbedState.UNVERIFIED
    other = EmbedVerifier(EMBED)
    assert other.fetch(get) == "without" and other.state is EmbedState.DISABLED
    assert other.fetch(lambda params, tries: {"asked": params}) == {"asked": {}}
