"""How many requests a server gets at once, and how long to wait before one is repeated.

    pace = Pace(most=256)
    await pace.enter()
    try: ...                      # one request
    finally: pace.leave(started)  # or pace.leave(started, throttled=True) after 429 or 503

The level grows by half as long as that brings more answers per second, that is, while a request takes about as long as
before; where it does not, the level before is kept and tried again later. 429 and 503 halve it, once for all requests
that were under way together. Left out: limits of tokens per minute (the server's 429 says when they are reached).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable

GROWTH = 1.5
GAIN = 1.15
"""So much faster must a higher level be to be kept."""
WINDOW = 64
"""Answers over which a rate is measured, at least."""
HOLD = 4
"""Windows before a level that did not help is tried again."""


class Pace:
    """A number of places that finds its own size.

    Args:
        most: highest level.
        level: places at the beginning.
        clock: seconds, for tests.
    """

    def __init__(self, most: int, level: int = 8, clock: Callable[[], float] = time.monotonic) -> None:
        self.most, self.level = most, float(min(level, most))
        self._clock = clock
        self._busy = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._not_before = self._halved = 0.0
        self._before: tuple[float, float] | None = None  # level and answers per second before the last growth
        self._hold = 0
        self._forget()

    async def enter(self, first: bool = False) -> None:
        """Wait for a place, before all that wait if ``first``, and for the end of a pause."""
        if self._busy < int(self.level):
            self._busy += 1
        else:
            place = asyncio.get_running_loop().create_future()
            (self._waiting.appendleft if first else self._waiting.append)(place)
            try:
                await place
            except asyncio.CancelledError:
                if not place.cancelled():  # it was given a place in the same moment
                    self._free()
                raise
        while (seconds := self._not_before - self._clock()) > 0:
            try:
                await asyncio.sleep(seconds)
            except asyncio.CancelledError:
                self._free()
                raise

    def leave(self, started: float, throttled: bool = False) -> None:
        """Give the place back; ``started`` is the clock's time when its request was sent."""
        if not throttled:
            self._count()
        elif started >= self._halved:  # else it was sent before the last halving, which its refusal confirms only
            self.level, self._halved, self._before, self._hold = max(1.0, self.level / 2), self._clock(), None, HOLD
            self._forget()
        self._free()

    def pause(self, seconds: float) -> None:
        """Send nothing for so long: the server has asked for it, and its limits are the same for all requests."""
        self._not_before = max(self._not_before, self._clock() + seconds)

    def _free(self) -> None:
        self._busy -= 1
        while self._waiting and self._busy < int(self.level):
            place = self._waiting.popleft()
            if not place.done():
                self._busy += 1
                place.set_result(None)

    def _forget(self) -> None:
        self._answers, self._seconds = 0, 0.0
        self._last: float | None = None

    def _count(self) -> None:
        """Measure the rate while requests wait for a place; without any, the level is not what limits it."""
        if not self._waiting:
            self._last = None
            return
        now = self._clock()
        if self._last is not None:
            self._answers, self._seconds = self._answers + 1, self._seconds + now - self._last
        self._last = now
        if self._answers >= max(WINDOW, 4 * self.level) and self._seconds > 0:
            rate = self._answers / self._seconds
            self._forget()
            self._adapt(rate)

    def _adapt(self, rate: float) -> None:
        if self._before and rate < GAIN * self._before[1]:
            self.level, self._before, self._hold = self._before[0], None, HOLD
        elif self._hold:
            self._hold -= 1
        elif self.level < self.most:
            self._before = self.level, rate
            self.level = min(float(self.most), self.level * GROWTH)


def backoff(attempt: int, asked: float | None, longest: float = 30.0) -> float:
    """Seconds to wait before repeating: what the server asked for and a little more, or twice as long each time.

    Both by chance, so that requests that failed together do not come back together.
    """
    if asked is not None:
        return asked + random.uniform(0, 0.1 * asked + 0.05)
    return random.uniform(0.25, 1) * min(longest, 0.5 * 2.0**attempt)
