"""What goes wrong and when: faults instead of responses, and edits right before a request."""

import re
import threading
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, NamedTuple

from tests.fake.responses import JSON, Response, problem

RATE_EXCEEDED = {"message": "API rate limit exceeded"}
FAULTS = {
    "html": Response(200, "<html><body>One moment, please</body></html>", "text/html"),
    "cut": Response(200, {"_embedded": {}, "page": {"number": 1}}, broken="cut"),
    "empty": Response(200),
    "reset": Response(None, broken="reset"),
    "silent": Response(None, broken="silent"),
}


class Fault(NamedTuple):
    """A status or a name in FAULTS, with what `FakeHelpScout.fault` says about it."""

    kind: int | str
    details: dict[str, Any]

    @property
    def response(self) -> Response:
        if not isinstance(self.kind, int):
            return FAULTS[self.kind]
        usual = problem(self.kind, HTTPStatus(self.kind).phrase).body
        return Response(
            self.kind,
            self.details.get("body", RATE_EXCEEDED if self.kind == 429 else usual),
            self.details.get("content_type", JSON),
            self.details.get("headers", {}),
        )


class Step:
    """A line of the script: it applies to `times` matching requests (None: all) after `skip`."""

    def __init__(
        self,
        effect: Any,
        path: str = "",
        method: str | None = None,
        times: int | None = 1,
        skip: int = 0,
    ):
        self.effect, self.method, self.times, self.skip, self.hits = effect, method, times, skip, 0
        self._path = re.compile(path)

    def applies(self, method: str, target: str) -> bool:
        """Whether the step applies to this request, which is then counted in `hits`."""
        if self.hits == self.times or self.method not in (None, method):
            return False
        if not self._path.search(target):
            return False
        self.skip -= 1
        self.hits += self.skip < 0
        return self.skip < 0


class Script:
    """The steps of a test, in the order in which they were added."""

    def __init__(self) -> None:
        self._faults: list[Step] = []
        self._actions: list[Step] = []
        self._lock = threading.Lock()

    def add_fault(self, kind: int | str, details: dict[str, Any], *step: Any) -> Step:
        if kind not in FAULTS and not isinstance(kind, int):
            raise TypeError(f"no such fault: {kind}")
        return self._added(self._faults, Step(Fault(kind, details), *step))

    def add_action(self, action: Callable[[Any], Any], *step: Any) -> Step:
        return self._added(self._actions, Step(action, *step))

    def fault(self, method: str, target: str) -> Fault | None:
        """The first fault that applies; the others are kept for later requests."""
        with self._lock:
            return next(
                (step.effect for step in self._faults if step.applies(method, target)), None
            )

    def actions(self, method: str, target: str) -> list[Callable[[Any], Any]]:
        with self._lock:
            return [step.effect for step in self._actions if step.applies(method, target)]

    def _added(self, steps: list[Step], step: Step) -> Step:
        with self._lock:
            steps.append(step)
            return step
