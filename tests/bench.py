"""Measures the tap beside published tap-helpscout, both against the fake: `make bench`.

Prints two tables, the first of which is that of the README's section Speed, and writes
docs/bench.md with both. Their figures are in docs/bench.json, of which bench_picture.py draws
docs/bench.svg. Ends with 1 where a goal is missed that does not depend on how busy the machine is;
what is timed is only printed.
"""

import argparse
import json
import math
import multiprocessing
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

from tests.conftest import only
from tests.fake import FakeHelpScout, World, build

TAP = [str(Path(sys.executable).with_name("tap-helpscout"))]
BARE = [sys.executable, "-c", "import singer, requests"]
ROOT = Path(__file__).resolve().parent.parent
FIGURES, PICTURE = ROOT / "docs" / "bench.json", ROOT / "docs" / "bench.svg"
PAGE = ROOT / "docs" / "bench.md"
PAGE_TEXT = """# What is measured

By `make bench`, against this repository's imitation of Help Scout, on {date} on {machine} with
Python {python}. {account}:

{pairs}
Goals, and what was measured. *Before* is before each run proved on its account what it relies on.

{goals}"""
PUBLISHED = "1.2.2"
ACCOUNT = "1,000 conversations with threads, 500 customers and all else, 60 ms a request"
LISTS = (
    "conversations",
    "customers",
    "mailboxes",
    "users",
    "workflows",
    "happiness_ratings_report",
    "teams",
)
CHILDREN = {"mailbox_fields": "mailboxes", "mailbox_folders": "mailboxes", "team_members": "teams"}
# Published tap-helpscout stops at the folders, which the fake sends without a page object.
COMPARED = (*LISTS, "conversation_threads", "mailbox_fields", "team_members")
# What is compared with figures of before is read alone, whatever streams have been added since.
STREAMS_BEFORE = (*LISTS, "conversation_threads", *CHILDREN)
MAIN_PAIR = ("conversations", "conversation_threads")
# Before windows and embedded threads had to be proved on each account; what that may cost.
REQUESTS_BEFORE = {"2,000 conversations": 192, "10,000 conversations": 975, "2,000 customers": 46}
PROBES, SAMPLES = 6, 0.02
INBOX_LIST = 1  # since then also: each run asks which inboxes there are
# Milliseconds of CPU per row before records had to fit their schemas, and those of 1.2.2 in the
# same run: only their ratio holds on another machine.
CPU_BEFORE, CPU_PUBLISHED_THEN = 0.173, 1.162
FIRST_SYNC = re.compile(
    r"^first sync +ok +about (?P<requests>\d+) requests, (?P<time>[\d.]+) (?P<unit>[a-z]+?)s? at ",
    re.MULTILINE,
)
SECONDS = {"second": 1, "minute": 60, "hour": 3600}


class Figure(NamedTuple):
    """A row of the table of goals; `is_timed`: a busy machine alone can miss the goal."""

    name: str
    goal: str
    figure: str
    holds: bool
    is_timed: bool = False


class Pair(NamedTuple):
    """A row of the table that has both taps side by side; each figure begins with its number."""

    name: str
    published: str
    ours: str


class Ran(NamedTuple):
    """What a run cost; moments are seconds since 1970, the log is the fake's."""

    ended: float
    seconds: float
    cpu: float
    mib: float
    rows: int
    state: bytes | None
    output: str  # what was neither a record nor a state
    log: list

    @property
    def working(self):
        """Seconds from the first request for a list to the end."""
        return self.ended - next(
            one["at"]
            for one in self.log
            if one["path"].count("/") == 2 and one["path"] != "/v2/users/me"
        )


class Account:
    """An account that a fake in a process of its own shows, and runs against it."""

    def __init__(self, folder, conversations, customers=None, **options):
        self._folder = Path(tempfile.mkdtemp(dir=folder))
        spawn = multiprocessing.get_context("spawn")
        self._pipe, other = spawn.Pipe()
        self._process = spawn.Process(
            target=_serve, args=(other, conversations, customers, options), daemon=True
        )
        self._process.start()
        self.url, self.chat_listings = self._pipe.recv()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._pipe.send("end")
        self._process.join()

    def ask(self, path, document=None):
        """One of the fake's own endpoints, or its token's."""
        data = None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(
            self.url + path, data, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as answer:
            return json.loads(answer.read() or b"null")

    def run(self, *streams, state=None, **settings):
        """A run of the tap, all streams if none is named."""
        return self._run(TAP, self._config(**settings), streams, state)

    def _config(self, **settings: Any) -> dict[str, Any]:
        return {
            "client_id": FakeHelpScout.client_id,
            "api_url": self.url,
            "client_secret": FakeHelpScout.client_secret,
            "start_date": "2015-01-01T00:00:00Z",
            **settings,
        }

    def first_sync(self) -> tuple[int, float]:
        """The requests and seconds that `--check` says a first sync takes."""
        ran = self._run([*TAP, "--check"], self._config(), (), None)
        said = FIRST_SYNC.search(ran.output)
        if not said:
            raise SystemExit(f"--check does not say how long a first sync takes:\n{ran.output}")
        return int(said["requests"]), float(said["time"]) * SECONDS[said["unit"]]

    def run_published(self, python, *streams):
        """A run of the published tap in another environment."""
        token = self.ask(
            "/v2/oauth2/token",
            {
                "grant_type": "client_credentials",
                "client_id": FakeHelpScout.client_id,
                "client_secret": FakeHelpScout.client_secret,
            },
        )["access_token"]
        config = {
            "client_id": "-",
            "client_secret": "-",
            "refresh_token": "-",
            "user_agent": "-",
            "start_date": "2015-01-01T00:00:00Z",
            "access_token": token,
        }
        return self._run([*_published(python, self.url), "--dev"], config, streams, None)

    def _run(self, command, config, streams, state):
        command = [*command, "--config", self._file("config.json", json.dumps(config))]
        if streams:
            catalog = json.loads(
                subprocess.run([*command, "--discover"], check=True, capture_output=True).stdout
            )
            command += ["--catalog", self._file("catalog.json", json.dumps(only(catalog, streams)))]
        if state:
            command += ["--state", self._file("state.json", state.decode())]
        self.ask("/_fake/clear", {})
        ran = _measured(command, self._folder / "log")
        return ran._replace(log=self.ask("/_fake/log"))

    def _file(self, name, text):
        path = self._folder / name
        path.write_text(text, encoding="utf-8")
        return str(path)


def _serve(pipe, conversations, customers, options):
    # At a row without dates published tap-helpscout stops: here there are none.
    world = build(conversations, customers)
    plans = [plan._replace(dateless=False) for plan in world.plans.values()]
    world = World(world.seed, world.now, plans, world.customer_times)
    with FakeHelpScout(world, **options) as fake:
        for user in fake.tables["users"]:
            fake.touch_row("users", user["id"])
        pipe.send((fake.url, sum(_pages(plan.length, 25) for plan in plans if plan.type == "chat")))
        pipe.recv()


def _published(python, url):
    return [python, str(Path(__file__).with_name("published.py")), url]


def _measured(command, log):
    began, rows, state, others = time.time(), 0, None, []
    with (
        open(log, "wb") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors) as process,
    ):
        for line in process.stdout:
            if line.startswith(b'{"type": "RECORD"'):
                rows += 1
            elif line.startswith(b'{"type": "STATE"'):
                state = line
            elif not line.startswith(b'{"type": '):
                others.append(line)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(
            f"{' '.join(command)}\nended with {process.returncode}:\n"
            + log.read_text(encoding="utf-8")[-3000:]
        )
    ended = time.time()
    return Ran(
        ended,
        ended - began,
        usage.ru_utime + usage.ru_stime,
        usage.ru_maxrss / 1024,
        rows,
        state and json.dumps(json.loads(state)["value"]).encode(),
        b"".join(others).decode(),
        [],
    )


def _pages(rows, size):
    return max(1, math.ceil(rows / size))


def _quickest(folder, command, attribute="seconds", times=5):
    return min(getattr(_measured(command, folder / "log"), attribute) for _ in range(times))


def start_up(folder):
    """--help and --discover beside the imports that no tap is without."""
    bare = _quickest(folder, BARE)
    for flag in ("--discover", "--help"):
        seconds = _quickest(folder, [*TAP, flag])
        yield Figure(
            f"`{flag}`",
            "2 × the bare imports",
            f"{seconds / bare:.2f} × ({1000 * seconds:.0f} ms of {1000 * bare:.0f})",
            seconds <= 2 * bare,
            is_timed=True,
        )


def requests(folder: Path, conversations: int) -> Iterator[Figure]:
    """How many requests conversations with threads take."""
    with Account(folder, conversations) as account:
        asked = len(account.run(*MAIN_PAIR).log)
        least = _pages(conversations, 25) + account.chat_listings
    what = f"{conversations:,} conversations"
    before = REQUESTS_BEFORE[what]
    most = before + PROBES + math.ceil(SAMPLES * before) + INBOX_LIST
    yield Figure(
        f"requests for {what} with threads, 5 % chats",
        f"{most:,} ({before:,} before, {PROBES} for probes, {100 * SAMPLES:.0f} % for samples, "
        f"{INBOX_LIST} for the inboxes)",
        f"{asked:,} (pages and chats alone are {least:,})",
        asked <= most,
    )


def customer_requests(folder: Path) -> Iterator[Figure]:
    """The same of customers, of which nothing is embedded."""
    with Account(folder, 0, 2000) as account:
        asked = len(account.run("customers").log)
    before = REQUESTS_BEFORE["2,000 customers"]
    most = before + PROBES
    yield Figure(
        "requests for 2,000 customers",
        f"{most} ({before} before, {PROBES} for probes)",
        f"{asked} (pages alone are {_pages(2000, FakeHelpScout.page_sizes.get('customers', 50))})",
        asked <= most,
    )


def overlap(folder, *children):
    """What concurrency is worth where each request takes long, start-up apart."""
    streams = ("conversations", "customers", *children)
    with Account(folder, 1000, 1000, latency=0.25) as account:
        runs = [account.run(*streams, concurrency=n) for n in (1, 4)]
    one, four = (ran.working for ran in runs)
    what = "with threads, and 1,000 customers" if children else "and 1,000 customers"
    yield Figure(
        f"`concurrency` 4 against 1 at 250 ms a request, 1,000 conversations {what}",
        "3 × faster",
        f"{one / four:.2f} × ({one:.1f} s, {four:.1f} s; {len(runs[1].log)} requests)",
        one >= 3 * four,
        is_timed=True,
    )


def pace(folder, limit=240):
    """More work than two minutes of the account's limit allow, on pages that are small."""
    with Account(folder, 2300, 0, page_size=5, rate_limit=limit) as account:
        log = account.run("conversations").log
    refused = sum(one["status"] == 429 for one in log)
    times = [one["at"] for one in log if one["status"] == 200 and "oauth2" not in one["path"]]
    minutes = [
        sum(start <= at - times[0] < start + 60 for at in times)
        for start in range(0, 60 * int((times[-1] - times[0]) / 60), 60)
    ]
    share = sum(minutes) / max(limit * len(minutes), 1)
    yield Figure(
        f"{len(times)} requests where {limit} a minute are allowed",
        "no 429",
        f"{refused or 'none'}",
        refused == 0,
    )
    yield Figure(
        "share of that limit used in the busy minutes",
        "85 %",
        f"{100 * share:.0f} % ({', '.join(map(str, minutes))} requests)",
        share >= 0.85,
    )


def memory(folder):
    """What is held at most, with all streams."""

    def peak(conversations):
        with Account(folder, conversations) as account:
            return account.run(*STREAMS_BEFORE).mib

    small, large = peak(1000), peak(50_000)
    yield Figure(
        "memory: 50,000 conversations against 1,000",
        "1.1 ×, under 80 MiB",
        f"{large / small:.2f} × ({large:.1f} MiB, {small:.1f} MiB)",
        large <= 1.1 * small and large < 80,
    )


def idle(folder):
    """A run after which nothing is new."""
    sizes = {**FakeHelpScout.page_sizes, "ratings": 1000}  # a report has no bookmark
    with Account(folder, 1000, page_sizes=sizes) as account:
        state = account.run(*STREAMS_BEFORE).state
        counts = account.ask("/_fake/truth-counts")
        asked = len(account.run(*STREAMS_BEFORE, state=state).log)
    before = len(LISTS) + sum(counts[parent] for parent in CHILDREN.values()) + 1
    yield Figure(
        "requests when nothing changed",
        f"{before + 1} ({before} before, one for spam)",
        str(asked),
        asked <= before + 1,
    )


def beside_published(
    folder: Path, python: str, url: str, ours: Ran, theirs: Ran
) -> tuple[list[Pair], list[Figure]]:
    """A whole account where a request takes 60 ms, as each of the two taps reads it."""

    def per_row(ran: Ran, command: list[str]) -> float:
        start = _quickest(folder, [*command, "--help"], "cpu", 3)
        return 1000 * (ran.cpu - start) / ran.rows

    mine, published = per_row(ours, TAP), per_row(theirs, _published(python, url))
    most = 1.1 * CPU_BEFORE / CPU_PUBLISHED_THEN
    pairs = [
        Pair("requests", f"{len(theirs.log):,}", f"{len(ours.log):,}"),
        Pair("time", f"{theirs.seconds:.1f} s", f"{ours.seconds:.1f} s"),
        Pair("CPU per row", f"{published:.3f} ms", f"{mine:.3f} ms"),
        Pair("memory", f"{theirs.mib:.1f} MiB", f"{ours.mib:.1f} MiB"),
    ]
    figures = [
        Figure(
            f"CPU per row, start-up apart, of that of {PUBLISHED}",
            f"{most:.2f} × ({CPU_BEFORE / CPU_PUBLISHED_THEN:.2f} × before, and 10 %)",
            f"{mine / published:.2f} ×",
            mine <= most * published,
            is_timed=True,
        ),
        Figure(
            f"the whole account, against {PUBLISHED}",
            "15 × faster",
            f"{theirs.seconds / ours.seconds:.1f} ×",
            theirs.seconds >= 15 * ours.seconds,
            is_timed=True,
        ),
    ]
    return pairs, figures


def estimate(folder: Path, latency: float, limit: int) -> Iterator[Figure]:
    """How long a first sync takes, beside what `--check` says before."""
    # So large that the limit, where it is what bounds the sync, is used for more than a minute.
    conversations, customers = 10 * limit, 5 * limit
    with Account(folder, conversations, customers, latency=latency, rate_limit=limit) as account:
        requests_said, said = account.first_sync()
        # As if it were begun some minutes later, when the limit has forgotten what was checked.
        account.ask("/_fake/options", {"clock_offset": 180})
        ran = account.run()
    factor = max(said / ran.seconds, ran.seconds / said)
    yield Figure(
        f"what `--check` says of a first sync: {1000 * latency:.0f} ms a request, "
        f"{limit} of them a minute",
        "within a factor of 1.5",
        f"{factor:.2f} ({said:.0f} s for {ran.seconds:.0f} s, "
        f"{requests_said} requests for {len(ran.log)})",
        factor <= 1.5,
        is_timed=True,
    )


def measure(folder: Path, python: str) -> tuple[list[Pair], list[Figure]]:
    """All figures. What only waits goes on beside the rest; what is timed and short comes first."""
    quick = list(start_up(folder))
    with Account(folder, 1000, latency=0.06) as account, ThreadPoolExecutor(8) as pool:
        ours = account.run(*COMPARED)
        paced = pool.submit(list, pace(folder))
        published = pool.submit(account.run_published, python, *COMPARED)
        threads_too = pool.submit(list, overlap(folder, "conversation_threads"))
        overlaps = [*overlap(folder), *threads_too.result()]
        estimates = [
            pool.submit(list, estimate(folder, latency, limit))
            for latency in (0.05, 0.4)
            for limit in (200, 800)
        ]
        asked = [
            *requests(folder, 2000),
            *requests(folder, 10_000),
            *customer_requests(folder),
            *idle(folder),
        ]
        memories = list(memory(folder))
        pairs, compared = beside_published(folder, python, account.url, ours, published.result())
        return pairs, [
            *asked,
            *overlaps,
            *paced.result(),
            *memories,
            *compared,
            *quick,
            *(figure for each in estimates for figure in each.result()),
        ]


def machine() -> str:
    """How large this machine is."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return f"{os.cpu_count()} cores and {pages / 2**30:.0f} GiB"


def tables(pairs: list[Pair], figures: list[Figure]) -> tuple[str, str]:
    """Both taps side by side, and the goals."""
    return (
        _table(("", f"published {PUBLISHED}", "this tap"), [tuple(pair) for pair in pairs]),
        _table(
            ("", "goal", "figure", "met"),
            [(*figure[:3], "yes" if figure.holds else "no") for figure in figures],
        ),
    )


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(heading, *rows)]
    lines = [heading, ["-" * width for width in widths], *rows]
    return "".join(
        f"| {' | '.join(f'{cell:<{width}}' for cell, width in zip(line, widths))} |\n"
        for line in lines
    )


def write_figures(pairs: list[Pair], figures: list[Figure]) -> None:
    """Writes docs/bench.json, from which the picture is drawn and the README is checked, and
    docs/bench.md."""
    document: dict[str, Any] = {
        "date": f"{datetime.now(timezone.utc):%Y-%m-%d}",
        "machine": machine(),
        "python": platform.python_version(),
        "published": PUBLISHED,
        "account": ACCOUNT,
        "side_by_side": [pair._asdict() for pair in pairs],
        "goals": [figure._asdict() for figure in figures],
    }
    FIGURES.parent.mkdir(exist_ok=True)
    text = json.dumps(document, indent=2, ensure_ascii=False)
    FIGURES.write_text(text + "\n", encoding="utf-8")
    side_by_side, goals = tables(pairs, figures)
    page = PAGE_TEXT.format(**document | {"pairs": side_by_side, "goals": goals})
    PAGE.write_text(page, encoding="utf-8")


def main() -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "published", help=f"Python of an environment with tap-helpscout {PUBLISHED}"
    )
    parser.add_argument("plotting", help="Python of an environment with matplotlib")
    args = parser.parse_args()
    print(f"Measuring on {machine()}, which takes about four minutes", flush=True)
    began = time.time()
    with tempfile.TemporaryDirectory() as folder:
        pairs, figures = measure(Path(folder), args.published)
    print(*tables(pairs, figures), sep="\n")
    write_figures(pairs, figures)
    picture = [args.plotting, "-m", "tests.bench_picture", str(FIGURES), str(PICTURE)]
    subprocess.run(picture, check=True)
    missed = [figure for figure in figures if not figure.holds]
    for figure in missed:
        print(f"MISSED: {figure.name}: {figure.goal}, but {figure.figure}")
    print(f"Measured in {time.time() - began:.0f} s; {FIGURES.parent} has the figures")
    return int(any(not figure.is_timed for figure in missed))


if __name__ == "__main__":
    sys.exit(main())
