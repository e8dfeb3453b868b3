"""Any JSON value, any date: what the tests of transform, dates and conform throw at them."""

from datetime import timedelta, timezone

from hypothesis import strategies as st

# Names that are special to `to_snake_case`, and any others.
NAMES = st.one_of(
    st.text(max_size=6),
    st.sampled_from(
        (
            "id",
            "photoUrl",
            "photo_url",
            "photo-url",
            "URLOf",
            "aB",
            "a_b",
            "a-b",
            "A",
            "a",
            "İd",
            "_embedded",
            "_links",
            "associatedEntities",
            "threads",
            "x1Y",
            "",
        )
    ),
)
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text())
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=6),
    max_leaves=30,
)
ZONES = st.timedeltas(timedelta(hours=-14), timedelta(hours=14)).map(
    lambda offset: timezone(timedelta(minutes=offset // timedelta(minutes=1)))
)
DATETIMES = st.datetimes(timezones=ZONES)
