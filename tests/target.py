"""What a target has after one run of the tap and the next, and what of the account it lacks."""

import json

from tests.test_records import expected


class Target:
    """Loads as a target does: rows by key, and those after the last STATE that was read are lost
    with the process that read them."""

    def __init__(self):
        self.rows, self.state, self.emitted = {}, None, 0

    def load(self, run):
        messages, keys = run.messages, {}
        self.emitted += len(run.of_type("RECORD"))
        kept = max(
            (i for i, message in enumerate(messages) if message["type"] == "STATE"), default=-1
        )
        for message in messages[: kept + 1]:
            if message["type"] == "SCHEMA":
                keys[message["stream"]] = message["key_properties"]
            elif message["type"] == "RECORD":
                stream, record = message["stream"], message["record"]
                key = tuple(record[name] for name in keys[stream])
                self.rows.setdefault(stream, {})[key] = record
            else:
                self.state = message["value"]
        return run

    def lacks(self, fake, *streams):
        """{stream: the rows that are not here as the account has them now}; {} if all are."""
        truth, lacking = fake.truth(), {}
        for stream in streams or truth:
            here = {_text(record) for record in self.rows.get(stream, {}).values()}
            rows = [expected(stream, row) for row in truth[stream]]
            gone = [row for row in rows if _text(row) not in here]
            if gone:
                lacking[stream] = gone
        return lacking


def _text(record):
    return json.dumps(record, sort_keys=True)
