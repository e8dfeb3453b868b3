"""Findings: what of a stream's values did not fit its schema, for the log."""

from collections import Counter
from collections.abc import Iterable

from tap_helpscout.conversions import FieldPath, Outcome
from tap_helpscout.redaction import printable
from tap_helpscout.transform import Row
from tap_helpscout.words import in_words


class Findings:
    """The report of one stream and run: a warning when a field does not fit for the first time, and
    how often it did not at the end. No value is in them but the row's key: values may be personal.
    """

    def __init__(self, stream_name: str, key_properties: Iterable[str]) -> None:
        self._stream_name, self._key_properties = stream_name, tuple(key_properties)
        self._unknown: set[FieldPath] = set()
        self._misfits: Counter[tuple[FieldPath, Outcome]] = Counter()
        # Since the last warnings.
        self._new_unknown: list[FieldPath] = []
        self._new_misfits: list[tuple[FieldPath, str, Outcome]] = []

    def unknown(self, path: FieldPath) -> None:
        """See Report."""
        if path not in self._unknown:
            self._unknown.add(path)
            self._new_unknown.append(path)

    def misfit(self, path: FieldPath, kind: str, outcome: Outcome) -> None:
        """See Report."""
        if (path, outcome) not in self._misfits:
            self._new_misfits.append((path, kind, outcome))
        self._misfits[path, outcome] += 1

    def warnings(self, record: Row) -> list[str]:
        """Lines for what was new in the record that was made since the last call: mostly none."""
        if not self._new_unknown and not self._new_misfits:
            return []
        lines = [
            f"{self._stream_name}: the API sends {_shown(path)}, which the schema lacks: "
            "it is left out"
            for path in self._new_unknown
        ]
        lines += [
            f"{self._stream_name}: {_shown(path)} holds {kind} that does not fit the schema, "
            f"in {self._row(record)}: {outcome.value}"
            for path, kind, outcome in self._new_misfits
        ]
        self._new_unknown.clear()
        self._new_misfits.clear()
        return lines

    def totals(self) -> list[str]:
        """Lines for the end of the run: how many values of each field did not fit."""
        return [
            f"{self._stream_name}: {in_words(count, 'value')} of {_shown(path)} "
            f"did not fit the schema and {'was' if count == 1 else 'were'} {outcome.value}"
            for (path, outcome), count in self._misfits.items()
        ]

    def _row(self, record: Row) -> str:
        keys = [f"{key} {record[key]}" for key in self._key_properties if key in record]
        return printable(", ".join(keys)) or "a row without its key"


def _shown(path: FieldPath) -> str:
    """A path for the log, where a name that the API made up may not forge a line."""
    return printable(".".join(path))
