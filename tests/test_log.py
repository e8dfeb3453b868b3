"""The log: what a run tells those who watch it."""

import re
from datetime import timedelta

from tests.test_discovery import TABLE
from tests.test_state import UNFINISHED, moment


def levels(run):
    return {line.split()[0] for line in run.log.splitlines() if line}


def counts(run):
    """What the last lines say of each stream: {name: rows}."""
    return {
        name: int(rows)
        for name, rows in re.findall(r"^INFO (\w+): (\d+) rows?\b", run.log, re.MULTILINE)
    }


def test_a_good_run_says_nothing_but_information_and_only_on_stderr(whole):
    _, run = whole
    assert levels(run) == {"INFO"}
    assert {message["type"] for message in run.messages} == {"SCHEMA", "RECORD", "STATE"}


def test_it_ends_with_a_count_of_rows_per_stream(whole):
    fake, run = whole
    assert counts(run) == {name: len(run.records(name)) for name in TABLE}
    assert all(counts(run)[name] >= rows for name, rows in fake.truth_counts().items())
    *_, done = lines = run.log.splitlines()
    assert [line.split()[1].rstrip(":") for line in lines[-1 - len(TABLE) : -1]] == list(TABLE)
    written, asked = sum(counts(run).values()), len(fake.requests)
    assert re.fullmatch(
        rf"INFO done in 0:\d\d:\d\d: {written} rows of 11 streams, {asked} requests, complete", done
    )
    for name in TABLE:
        assert (
            f'"record_count", "value": {counts(run)[name]}, "tags": {{"endpoint": "{name}"}}'
            in run.log
        )


def test_windows_tell_what_is_read_and_how_many_rows_of_how_many(whole):
    _, run = whole
    end = run.bookmarks["users"]
    for stream, total in (("conversations", 200), ("customers", 120)):
        assert f"{stream}: reading what changed from 2010-01-01T00:00:00Z to {end}" in run.log
        lines = re.findall(
            rf"{stream}: window (\S+) to (\S+) read; (\d+) of (\d+) rows "
            r"\((\d+) %\), (\d+) rows?/s, .* left; \d+ of \d+ requests a minute",
            run.log,
        )
        first, *_, last = lines
        assert first[0] == "2010-01-01T00:00:00Z" and last[1] == end
        assert {int(line[3]) for line in lines} == {total}
        done = [int(line[2]) for line in lines]
        assert done == sorted(done) and done[-1] >= total and last[4] == "100"


def test_each_of_two_ranges_is_counted_by_itself(tap, fake):
    """Streams of a tree with different bookmarks are read in a range each."""
    halfway = fake.now() - timedelta(days=300)
    state = {"bookmarks": {"conversations": f"{halfway:%Y-%m-%dT%H:%M:%SZ}"}}
    catalog = tap.select("conversations", "conversation_threads")
    log = tap.good_run(catalog=catalog, state=state).log
    assert len(re.findall("conversations: reading what changed", log)) == 2
    told = re.findall(r"read; (\d+) of (\d+) rows \((\d+) %\), .* 0:00:00 left", log)
    parts = {(done, counted) for done, counted, share in told if share == "100"}
    assert len(parts) == 2 and all(done == counted for done, counted in parts)
    total = sum(int(counted) for _, counted in parts)
    assert f"read {total} of the {total} that Help Scout counts" in log
    assert total == len(fake.conversation_ids)


def test_a_second_run_counts_what_it_brought(tap, fake):
    catalog = tap.select("conversations", "conversation_threads", "users")
    first = tap.good_run(catalog=catalog)
    key = fake.conversation_ids[5]
    fake.clock_offset = 3600
    fake.touch(key)
    run = tap.good_run(state=first.state, catalog=catalog)
    assert counts(run) == {
        "conversations": 1,
        "conversation_threads": len(fake.threads(key)),
        "users": 1,
    }
    since = moment(first.bookmarks["conversations"]) - timedelta(seconds=600)
    assert f"reading what changed from {since:%Y-%m-%dT%H:%M:%SZ}" in run.log


def test_a_stream_that_fails_is_named_with_the_apis_words_and_the_others_are_complete(tap, fake):
    fake.fault(418, path="/v2/teams", body='{"message": "No teams today", "logRef": "lamp-77"}')
    run = tap.run()
    assert run.code == 1 and run.streams == set(TABLE) - {"teams", "team_members"}
    critical = [line for line in run.log.splitlines() if line.startswith("CRITICAL")]
    first, second, last = critical
    assert first.startswith("CRITICAL teams is incomplete: GET /v2/teams answered 418")
    assert "No teams today" in first and "lamp-77" in first
    assert second == "CRITICAL team_members is incomplete: so is teams, on which it hangs"
    assert run.log.count("No teams today") == 1
    assert "ERROR teams failed (status 418): the last lines of the log will say why" in run.log
    assert last.startswith("CRITICAL done in ") and "incomplete: teams, team_members" in last
    assert (
        "teams: 0 rows, incomplete" in run.log
        and "users: 8 rows, read 8 of the 8 that Help Scout counts\n" in run.log
    )
    assert "teams" not in run.bookmarks and "users" in run.bookmarks


def test_a_plan_without_reports_leads_to_advice_and_no_other_stream_suffers(tap, fake):
    fake.plan = "standard"
    run = tap.run()
    assert run.code == 1 and run.streams == set(TABLE) - {"happiness_ratings_report"}
    (line,) = [
        line
        for line in run.log.splitlines()
        if line.startswith("CRITICAL happiness_ratings_report")
    ]
    assert "403" in line and "Reports need a Plus or Pro plan" in line
    assert "deselect the stream in the catalog" in line
    assert not UNFINISHED & set(run.state)


def test_refused_credentials_lead_to_advice_and_end_the_run(tap, fake):
    tap.configure(client_secret="wrong-secret")
    run = tap.run()
    assert run.code == 1 and not run.of_type("RECORD")
    (line,) = [line for line in run.log.splitlines() if line.startswith("CRITICAL")]
    assert "401" in line and "Client authentication failed" in line
    assert "client_id and client_secret" in line and "wrong-secret" not in run.log
    assert len(fake.requests) == 1


def test_no_secret_is_ever_told(tap, fake):
    """Not even where the API says it itself."""
    tap.configure(refresh_token=fake.new_refresh_token())
    before = tap.config
    fake.fault(500, path="/v2/users$", body="{}")
    fake.fault(400, path="/v2/workflows", body=f'{{"message": "{fake.client_secret} is no id"}}')
    run = tap.run()
    assert run.code == 1 and "is no id" in run.log
    secrets = {
        config[name]
        for config in (before, tap.config)
        for name in ("client_secret", "refresh_token", "access_token")
        if name in config
    }
    assert len(secrets) == 4
    written = run.log + "\n".join(run.lines)
    assert not [secret for secret in secrets if secret in written] and "Bearer" not in written
