"""What can go wrong between a client and the Hub, ordered by a test for requests of its choice."""

import re
import threading
from dataclasses import dataclass, field


@dataclass
class Fault:
    """Something that happens to matching requests instead of, or before, their answer.

    Attributes:
        request: Regex searched in `METHOD /path`.
        after: Matching requests that pass first.
        times: Matching requests that it happens to; then the fault is over.
        status: Answer with this status.
        cut_after: Close the connection: after so many bytes of the answer's body (0: before any answer).
        seconds: Wait so long before answering.
        hold: Do not answer before `release`; `reached` says that the request has come.
    """

    request: str
    after: int = 0
    times: int = 10**9
    status: int | None = None
    cut_after: int | None = None
    seconds: float = 0.0
    hold: bool = False
    reached: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def strikes(self, request: str) -> bool:
        """Whether it happens to this request; counts it."""
        if not re.search(self.request, request) or self.times <= 0:
            return False
        if self.after > 0:
            self.after -= 1
            return False
        self.times -= 1
        self.reached.set()
        return True

    def release(self) -> None:
        """Lets held requests go on."""
        self.released.set()
