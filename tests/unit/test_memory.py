"""The memory of inboxes and of rows, by itself."""

from hypothesis import given
from hypothesis import strategies as st

from tap_helpscout.memory import EVERY_MAILBOX, MAX_SEEN_ROWS, MailboxMemory, RowMemory

NAME = "conversations"
IDS = st.lists(st.integers(1, 6), unique=True)


def test_a_stream_without_a_bookmark_has_nothing_new():
    memory = MailboxMemory({NAME: [1]})
    assert memory.begin(NAME, [1, 2], has_bookmark=False) == []
    assert memory.document() == {NAME: [1, 2]}


def test_without_an_entry_all_are_taken_for_read():
    memory = MailboxMemory({})
    assert memory.known(NAME) is None
    assert memory.begin(NAME, [2, 1], has_bookmark=True) == []
    assert memory.document() == {NAME: [1, 2]}


def test_a_new_inbox_is_known_only_when_it_was_read():
    memory = MailboxMemory({NAME: [1, 3]})
    assert memory.begin(NAME, [1, 2], has_bookmark=True) == [2]
    assert memory.document() == {NAME: [1]}  # the third is not there any more
    memory.add(NAME, 2)
    assert memory.document() == {NAME: [1, 2]}
    memory.reset(NAME)
    assert memory.document() == {NAME: [1]}


def test_from_some_inboxes_to_all_and_back():
    memory = MailboxMemory({NAME: [1]})
    assert memory.begin(NAME, EVERY_MAILBOX, has_bookmark=True) == [EVERY_MAILBOX]
    assert memory.document() == {NAME: [1]}
    memory.add(NAME, EVERY_MAILBOX)
    assert memory.document() == {}
    assert memory.begin(NAME, EVERY_MAILBOX, has_bookmark=True) == []
    assert memory.begin(NAME, [1, 2], has_bookmark=True) == []
    assert memory.document() == {NAME: [1, 2]}


@given(runs=st.lists(st.tuples(IDS, st.booleans()), min_size=1, max_size=8))
def test_an_inbox_is_known_only_if_it_was_read_without_a_gap(runs):
    """Each run sees some inboxes; one that is interrupted reads no new ones."""
    document, complete = {}, None
    for is_first, (mailboxes, is_interrupted) in zip([True, *[False] * 8], runs):
        memory = MailboxMemory(document)
        new = memory.begin(NAME, mailboxes, has_bookmark=not is_first)
        if complete is None:
            complete = set(mailboxes)
        assert set(new) == set(mailboxes) - complete
        complete &= set(mailboxes)
        for mailbox in [] if is_interrupted else new:
            memory.add(NAME, mailbox)
            complete.add(mailbox)
        document = memory.document()
        assert set(document[NAME]) == complete


def test_rows_of_a_list_without_memory_are_taken_for_seen():
    assert not RowMemory({}).is_new("users", 1)
    memory = RowMemory({"users": [1]})
    assert not memory.is_new("users", 1) and memory.is_new("users", 2)


def test_rows_that_are_gone_are_forgotten_at_the_end_of_the_list_only():
    memory = RowMemory({"users": [1, 2]})
    memory.add("users", 2)
    memory.add("users", 3)
    assert memory.document() == {"users": [1, 2, 3]}
    memory.complete("users")
    assert memory.document() == {"users": [2, 3]}


def test_an_empty_list_is_remembered_as_such():
    memory = RowMemory({})
    memory.complete("users")
    assert memory.document() == {"users": []}
    assert RowMemory(memory.document()).is_new("users", 1)


def test_a_list_too_long_to_be_remembered_is_new_in_each_run():
    memory = RowMemory({})
    for row_id in range(MAX_SEEN_ROWS + 1):
        memory.add("users", row_id)
    memory.complete("users")
    assert memory.document() == {"users": []}
    assert RowMemory(memory.document()).is_new("users", 0)
