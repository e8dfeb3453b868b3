"""`--select`: which streams and fields to select, in the patterns that Meltano's users know.

A pattern is `STREAM` or `STREAM.FIELD`, with `!` before it to leave out instead of to select. Both
parts may have wildcards, and a field inside another is `STREAM.FIELD.FIELD`. To leave out wins over
to select, as in Meltano (https://docs.meltano.com/concepts/plugins#select-extra). Unlike there,
patterns that only leave out begin with all that is selected by default, and `*.FIELD` is about the
streams that have such a field.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from tap_helpscout.discover import Breadcrumb, Catalog, FieldPath, schema_nodes
from tap_helpscout.files import ConfigError
from tap_helpscout.streams import STREAMS


@dataclass(frozen=True)
class Pattern:
    """One pattern: globs for the stream and, outermost first, for the field; no field stands for
    all of them."""

    text: str
    excludes: bool
    stream: str
    field: FieldPath

    @property
    def is_whole_stream(self) -> bool:
        """Whether it stands for the stream with all its fields."""
        return self.field in ((), ("*",))

    def matches_stream(self, name: str) -> bool:
        """Whether it is about this stream or fields of it."""
        return fnmatchcase(name, self.stream)

    def matches_field(self, path: FieldPath) -> bool:
        """Whether it names exactly this field."""
        return len(path) == len(self.field) and self._agrees_with(path)

    def covers(self, path: FieldPath) -> bool:
        """Whether it names this field or one that this field is inside of."""
        return len(path) >= len(self.field) and self._agrees_with(path)

    def leads_through(self, path: FieldPath) -> bool:
        """Whether it names a field that is inside this one."""
        return len(path) < len(self.field) and self._agrees_with(path)

    def _agrees_with(self, path: FieldPath) -> bool:
        return all(map(fnmatchcase, path, self.field))


def parse_pattern(text: str) -> Pattern:
    """Takes a pattern apart."""
    stream, *field = text.removeprefix("!").split(".")
    return Pattern(text, text.startswith("!"), stream, tuple(field))


def select_by_patterns(catalog: Catalog, texts: Iterable[str]) -> None:
    """Marks in the metadata of a catalog of `discover()` what the patterns select.

    Raises ConfigError if a pattern has no effect, or if all together select nothing.
    """
    patterns = [parse_pattern(text) for text in texts]
    problems = [
        problem for pattern in patterns if (problem := _problem(pattern, catalog["streams"]))
    ]
    if problems:
        raise ConfigError(f"--select: {'; '.join(problems)}")
    inclusive = any(not pattern.excludes for pattern in patterns)
    for entry in catalog["streams"]:
        about = [pattern for pattern in patterns if _is_about(pattern, entry)]
        _select_in_entry(
            entry,
            [pattern for pattern in about if not pattern.excludes] if inclusive else None,
            [pattern for pattern in about if pattern.excludes],
        )
    if not any(_metadata(entry)[()]["selected"] for entry in catalog["streams"]):
        raise ConfigError("--select: these patterns together select no stream")


def _is_about(pattern: Pattern, entry: dict[str, Any]) -> bool:
    return pattern.matches_stream(entry["tap_stream_id"]) and (
        pattern.is_whole_stream or any(map(pattern.matches_field, _fields(entry)))
    )


def _select_in_entry(
    entry: dict[str, Any], included: list[Pattern] | None, excluded: list[Pattern]
) -> None:
    """Marks one stream and its fields. `included` is None where no pattern at all includes: what
    is not excluded is then as by default."""
    metadata = _metadata(entry)
    stream = metadata[()]
    wanted = stream["selected-by-default"] if included is None else bool(included)
    stream["selected"] = wanted and not any(pattern.is_whole_stream for pattern in excluded)
    if stream["selected"]:
        _select_fields(entry, included, excluded)


def _select_fields(
    entry: dict[str, Any], included: list[Pattern] | None, excluded: list[Pattern]
) -> None:
    metadata, fields = _metadata(entry), _fields(entry)
    left_out = {
        path
        for path, breadcrumb in fields.items()
        if metadata.get(breadcrumb, {}).get("inclusion") != "automatic"
        and not _is_field_wanted(path, included, excluded)
    }
    if not left_out:
        return
    for path, breadcrumb in fields.items():
        if breadcrumb in metadata:
            metadata[breadcrumb]["selected"] = path not in left_out
        elif path in left_out and path[:-1] not in left_out:
            inside = {"inclusion": "available", "selected": False}
            entry["metadata"].append({"breadcrumb": list(breadcrumb), "metadata": inside})


def _is_field_wanted(
    path: FieldPath, included: list[Pattern] | None, excluded: list[Pattern]
) -> bool:
    if any(pattern.covers(path) for pattern in excluded):
        return False
    return included is None or any(
        pattern.covers(path) or pattern.leads_through(path) for pattern in included
    )


def _metadata(entry: dict[str, Any]) -> dict[Breadcrumb, dict[str, Any]]:
    return {tuple(item["breadcrumb"]): item["metadata"] for item in entry["metadata"]}


def _fields(entry: dict[str, Any]) -> dict[FieldPath, Breadcrumb]:
    """All fields of a stream, those inside others too."""
    fields: dict[FieldPath, Breadcrumb] = {}
    for path, breadcrumb in schema_nodes(entry["schema"]):
        fields.setdefault(path, breadcrumb)  # a list comes before its items
    del fields[()]
    return fields


def _problem(pattern: Pattern, entries: list[dict[str, Any]]) -> str | None:
    """Why the pattern has no effect, in words; None if it has one."""
    names = [entry["tap_stream_id"] for entry in entries]
    streams = [entry for entry in entries if pattern.matches_stream(entry["tap_stream_id"])]
    if not streams:
        return f"{pattern.text} matches no stream, {_nearest_stream(pattern, names)}"
    if pattern.is_whole_stream:
        return None
    inclusions = {
        _metadata(entry).get(breadcrumb, {}).get("inclusion")
        for entry in streams
        for path, breadcrumb in _fields(entry).items()
        if pattern.matches_field(path)
    }
    if not inclusions:
        known = [".".join(path) for entry in streams for path in _fields(entry)]
        return f"{pattern.text} matches no field, {_nearest_field(pattern, known)}"
    if pattern.excludes and inclusions == {"automatic"}:
        return f"{pattern.text} has no effect: keys and replication keys cannot be left out"
    return None


def _nearest_stream(pattern: Pattern, names: list[str]) -> str:
    if "," in pattern.text:
        return "between patterns there is a space, and no comma"
    nearest = difflib.get_close_matches(pattern.stream, names, n=1)
    if not nearest:
        return f"the streams are {', '.join(names)}"
    return f"did you mean {_sign(pattern)}{'.'.join((nearest[0], *pattern.field))}?"


def _nearest_field(pattern: Pattern, known: list[str]) -> str:
    nearest = difflib.get_close_matches(".".join(pattern.field), known, n=1)
    if nearest:
        return f"did you mean {_sign(pattern)}{pattern.stream}.{nearest[0]}?"
    if pattern.stream not in STREAMS:  # of several there are too many to name
        return "the catalog that --discover writes has all fields"
    outermost = dict.fromkeys(path for path in known if "." not in path)
    return f"the fields of {pattern.stream} are {', '.join(outermost)}"


def _sign(pattern: Pattern) -> str:
    return "!" if pattern.excludes else ""
