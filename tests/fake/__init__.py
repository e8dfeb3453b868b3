"""A Help Scout that listens on a loopback port, for tests, demonstrations and measurements.

It has the state of the real one: tokens that die, lists that are a search index and lag behind the
edits, pages by number over rows that move, a rate limit, a clock. On top of that a test can script
faults, edit rows between two requests, read the log of what was asked, and ask for the truth that
a complete sync should have brought.

    with FakeHelpScout(build(200), page_size=5) as fake:
        fake.fault(503, path="page=2", times=1)
        fake.before(lambda fake: fake.touch(2_100_000), path="page=3")
        ...  # run something against fake.url
        assert fake.requests[0].path == "/v2/oauth2/token"

A person starts it with `python -m tests.fake`; other processes steer it through `/_fake/...` (see
`FakeHelpScout._control`). Where to find what, each module importing only what stands above it:

    data.py       the rows of a made-up account
    habits.py     how this Help Scout behaves: an option each
    account.py    the account's state, and its edits
    responses.py  what goes out, and what a wrong parameter is refused with
    script.py     what goes wrong and when
    api.py        what each path responds with: filters, pages, envelopes, embedded threads
    server.py     HTTP: tokens, the rate limit, the log of requests
"""

from tests.fake.data import Plan, World, build, counts, stamp
from tests.fake.server import FakeHelpScout

__all__ = ["FakeHelpScout", "Plan", "World", "build", "counts", "stamp"]
