"""Walks the tree of selected streams, parent → child, and writes Singer messages."""

import time
from datetime import datetime, timedelta, timezone

import singer
from singer import metrics

from tap_helpscout import reading
from tap_helpscout.dates import seconds_before
from tap_helpscout.discover import load_schema
from tap_helpscout.files import ConfigError
from tap_helpscout.reading import ahead
from tap_helpscout.streams import STREAMS
from tap_helpscout.transform import format_moment, moment_or_none, parse_moment, project, to_record
from tap_helpscout.transport import ApiError

LOGGER = singer.get_logger()

GONE = (404, 410)  # how a parent that was merged or deleted answers for its children
PROGRESS_SECONDS = 5


class Bookmarks:
    """The state: where each stream's next run begins. Flat, as published versions wrote it:

    {"currently_syncing": "users", "bookmarks": {"users": "2019-06-11T13:37:55Z"}}
    """

    def __init__(self, state, source):
        self.currently_syncing = state.get("currently_syncing")
        try:
            if state.keys() - {"currently_syncing"} and "bookmarks" not in state:
                raise ValueError("it has no bookmarks")
            self._dates = dict(state.get("bookmarks") or {})
            self._state = {**state, "bookmarks": self._dates}
            for name in self._dates.keys() & STREAMS.keys():
                self.get(name)
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"the state file {source} must look like "
                '{"bookmarks": {"users": "2019-06-11T13:37:55Z"}}, a date for each stream: '
                f"{error}"
            ) from error

    def get(self, name):
        """A stream's bookmark as a moment, None where it has none yet."""
        date = self._dates.get(name)
        return parse_moment(date) if date else None

    def advance(self, name, moment):
        """Moves a bookmark, never backwards."""
        before = self.get(name)
        if not before or moment > before:
            self._dates[name] = format_moment(moment)

    def message(self):
        """The state as a Singer message."""
        state = {**self._state, "currently_syncing": self.currently_syncing}
        if not self.currently_syncing:
            del state["currently_syncing"]
        return singer.StateMessage(state)


class Node:
    """A stream of this run's tree, and what of it is written: nothing where `schema` is None."""

    def __init__(self, stream, schema, children):
        self.stream, self.schema, self.children = stream, schema, children
        self.name = stream.tap_stream_id
        self.start = None
        self.is_active = schema is not None
        self.embedding = reading.Embedding(stream.embed)
        self.counter = metrics.record_counter(self.name)
        self.read, self.written, self.gone, self.error = 0, 0, 0, None
        self.began, self.silent_until = time.monotonic(), 0
        self._known, self._warned = load_schema(self.name), set()
        self._embeds = {
            stream.embed.name
            for stream in STREAMS.values()
            if stream.embed and stream.parent == self.name
        }

    def tree(self):
        """This node and all below it."""
        yield self
        for child in self.children:
            yield from child.tree()

    def fail(self, error):
        """Takes the stream, and what hangs on it, out of the run: their bookmarks stay."""
        for node in self.tree():
            node.error = node.error or error
            node.is_active = False

    def is_read(self):
        """Whether its rows are needed, to be written or for a child."""
        return any(node.is_active for node in self.tree())

    def record(self, row, context):
        """What is written of a row; what is embedded in it for a child is the child's."""
        embedded = row.get("_embedded")
        if isinstance(embedded, dict) and self._embeds & embedded.keys():
            row = {
                **row,
                "_embedded": {
                    name: rows for name, rows in embedded.items() if name not in self._embeds
                },
            }
        parent_keys = {key: context[key] for key in self.stream.parent_keys}
        return project(
            to_record(self.stream, row, parent_keys), self.schema, self._known, self._warn
        )

    def _warn(self, path):
        if path not in self._warned:
            self._warned.add(path)
            LOGGER.warning(
                "%s: the API sends %s, which the schema lacks: it is left out",
                self.name,
                ".".join(path),
            )


class Sync:
    """One run over the selected streams ({tap_stream_id: schema}); `write` takes messages."""

    def __init__(self, client, config, selected, bookmarks, write):
        self._client, self._config, self._bookmarks, self._write = client, config, bookmarks, write
        self._roots = [
            node
            for node in (
                _plan(stream, selected) for stream in STREAMS.values() if not stream.parent
            )
            if node
        ]
        self._nodes = [node for root in self._roots for node in root.tree()]
        self._end = None

    def run(self):
        """Reads all that is selected; returns the nodes of streams that failed."""
        self._end = self._client.run_start()
        for node in self._nodes:
            node.start = self._start_of(node.stream)
            if node.start and node.start > self._end:
                LOGGER.warning(
                    "%s: nothing is read before %s, its bookmark or the start_date: the "
                    "API's clock says %s",
                    node.name,
                    format_moment(node.start),
                    format_moment(self._end),
                )
            if node.schema:
                keys, key = list(node.stream.key_properties), node.stream.replication_key
                self._write(singer.SchemaMessage(node.name, node.schema, keys, key and [key]))
        first = self._bookmarks.currently_syncing
        for root in sorted(
            self._roots, key=lambda root: all(node.name != first for node in root.tree())
        ):
            self._bookmarks.currently_syncing = root.name
            self._write_state()
            self._read(root)
        self._bookmarks.currently_syncing = None
        self._write_state()
        return self._summary()

    def _start_of(self, stream):
        bookmark = self._bookmarks.get(stream.tap_stream_id) if stream.has_bookmark else None
        if bookmark:
            start = seconds_before(bookmark, self._config.lookback_seconds)
        elif stream.is_windowed or stream.parent and STREAMS[stream.parent].is_windowed:
            start = self._config.start_date
        else:
            return None
        return start.replace(microsecond=0)

    def _read(self, root):
        context = {"start": format_moment(self._config.start_date), "end": format_moment(self._end)}
        if not root.stream.is_windowed:
            self._walk(root, reading.listed(self._client, root.stream, context, self._end), context)
            return
        # Streams of one tree may stand at different bookmarks: each is read from its own.
        selected = [node for node in root.tree() if node.schema]
        starts = sorted({node.start for node in selected})
        settled = self._end - timedelta(seconds=self._config.lookback_seconds)
        for low, high in zip(starts, [*starts[1:], self._end]):
            high = min(high, self._end)
            for node in selected:
                node.is_active = not node.error and node.start <= low
            if low < high and root.is_read():
                embedding = next(
                    (
                        node.embedding
                        for node in root.children
                        if node.stream.embed and node.is_read()
                    ),
                    None,
                )
                LOGGER.info(
                    "%s: reading what changed from %s to %s",
                    root.name,
                    format_moment(low),
                    format_moment(high),
                )
                root.read, root.began, root.silent_until = 0, time.monotonic(), 0
                self._walk(
                    root,
                    reading.windows(
                        self._client,
                        root.stream,
                        context,
                        reading.Reach(low, settled, high),
                        embedding,
                    ),
                    context,
                )

    def _walk(self, node, items, context):
        """The one recursion: writes each row, then its children's rows; at a Checkpoint all rows
        before it are out."""
        coming = ((item, list(self._below(node, item, context))) for item in items)
        try:
            for item, lists in ahead(coming, 2 * self._client.prefetch_depth, _weight):
                if isinstance(item, reading.Checkpoint):
                    self._checkpoint(node, item)
                    continue
                node.read += 1
                if node.is_active:
                    self._write_row(node, item, context)
                for child, own, rows, _ in lists:
                    if not child.error:
                        self._walk(child, rows, own)
        except ApiError as error:
            if node.stream.parent and error.status in GONE:
                key = node.stream.parent_keys[-1]
                node.gone += 1
                LOGGER.warning(
                    "%s: %s %s was deleted or merged meanwhile, skipped",
                    node.name,
                    key,
                    context[key],
                )
            else:
                node.fail(error)
                LOGGER.error("%s failed: %s", node.name, error)

    def _below(self, node, item, context):
        """(child, context, rows, weight) for each list below a row, asked for already."""
        # Below a row without an id there is nothing to ask for; its own stream warns of it.
        if isinstance(item, reading.Checkpoint) or item.get("id") is None:
            return
        for child in node.children:
            if child.is_read():
                own = {**context, child.stream.parent_keys[-1]: item["id"]}
                yield (
                    child,
                    own,
                    *reading.children(self._client, child.stream, own, item, child.embedding),
                )

    def _write_row(self, node, row, context):
        record = node.record(row, context)
        stream = node.stream
        if node.start and stream.replication_key and not stream.is_windowed:
            # A list that the API does not filter.
            changed_at = moment_or_none(record.get(stream.replication_key))
            if changed_at and changed_at < node.start:
                return
        if any(record.get(key) is None for key in stream.key_properties):
            LOGGER.warning(
                "%s: a row without its key %s is left out: %s",
                node.name,
                ", ".join(stream.key_properties),
                sorted(row),
            )
            return
        node.written += 1
        node.counter.increment()
        self._write(
            singer.RecordMessage(node.name, record, time_extracted=datetime.now(timezone.utc))
        )

    def _checkpoint(self, root, checkpoint):
        for node in root.tree():
            if node.is_active and node.stream.has_bookmark:
                self._bookmarks.advance(
                    node.name, self._client.clock.not_later_than(checkpoint.high)
                )
        self._write_state()
        self._say_progress(root, checkpoint)

    def _write_state(self):
        self._write(self._bookmarks.message())

    def _say_progress(self, root, checkpoint):
        """The first window, the last, and in between one line every few seconds."""
        now = time.monotonic()
        if checkpoint.expected is None or (now < root.silent_until and checkpoint.high < self._end):
            return
        root.silent_until = now + PROGRESS_SECONDS
        taken = now - root.began
        share = min(root.read / checkpoint.expected, 1) if checkpoint.expected else 1
        LOGGER.info(
            "%s: window %s to %s read; %d of %d rows (%d %%), %d rows/s, %s left; "
            "%s requests a minute",
            root.name,
            format_moment(checkpoint.low),
            format_moment(checkpoint.high),
            root.read,
            checkpoint.expected,
            100 * share,
            root.read / max(taken, 0.001),
            timedelta(seconds=int(taken * (1 - share) / share)) if share else "unknown time",
            self._client.limiter.progress(),
        )

    def _summary(self):
        selected = [node for node in self._nodes if node.schema]
        for node in selected:
            node.counter.__exit__(None, None, None)
            LOGGER.info(
                "%s: %d rows%s%s",
                node.name,
                node.written,
                f", {node.gone} parents gone meanwhile" if node.gone else "",
                ", incomplete" if node.error else "",
            )
        return [node for node in selected if node.error]


def _plan(stream, selected):
    """The tree below a stream, without what is neither selected nor needed; None if all is."""
    children = [
        node
        for node in (
            _plan(child, selected)
            for child in STREAMS.values()
            if child.parent == stream.tap_stream_id
        )
        if node
    ]
    schema = selected.get(stream.tap_stream_id)
    return Node(stream, schema, children) if schema or children else None


def _weight(item):
    _, lists = item
    return sum(weight for _, _, _, weight in lists) or 0.1
