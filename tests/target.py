"""What a target has after one run of the tap and the next, and what of the account it lacks."""

import json

from tests.test_records import expected


class Target:
    """Loads as a target does: rows by key, and those after the last STATE that was read are lost
    with the process that read them. With ACTIVATE_VERSION rows of older versions are removed."""

    def __init__(self):
        self.rows, self.state, self.emitted = {}, None, 0
        self.versions, self.removed = {}, set()

    def load(self, run, keeps_all=False):
        """`keeps_all`: the rows after the last STATE are there, though no state says so."""
        messages, keys = run.messages, {}
        self.emitted += len(run.of_type("RECORD"))
        kept = max(
            (i for i, message in enumerate(messages) if message["type"] == "STATE"), default=-1
        )
        for message in messages if keeps_all else messages[: kept + 1]:
            if message["type"] == "SCHEMA":
                keys[message["stream"]] = message["key_properties"]
            elif message["type"] == "RECORD":
                stream, record = message["stream"], message["record"]
                key = tuple(record[name] for name in keys[stream])
                self.rows.setdefault(stream, {})[key] = record
                self.versions[stream, key] = message.get("version", 0)
                self.removed.discard((stream, key))
            elif message["type"] == "ACTIVATE_VERSION":
                self._remove(message["stream"], message["version"])
            else:
                self.state = message["value"]
        return run

    def _remove(self, stream, version):
        for key in list(self.rows.get(stream, ())):
            if self.versions[stream, key] < version:
                del self.rows[stream][key]
                self.removed.add((stream, key))

    def surplus(self, fake, *streams):
        """{stream: how many rows are here that the account has no more}; {} if none."""
        there = fake.truth_counts()
        more = {name: len(self.rows.get(name, ())) - there[name] for name in streams or there}
        return {name: number for name, number in more.items() if number > 0}

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
