"""The level of concurrency against simulated servers."""

from __future__ import annotations

import asyncio

from plaudit.llms.pace import Pace, backoff


def simulate(pace: Pace, slots: int, requests: int, refuse_above: int = 10**9) -> tuple[float, int]:
    """Seconds in all, and the most requests under way; a request takes 2 ms on one of the server's slots."""
    under_way = most = 0

    async def one(server: asyncio.Semaphore) -> None:
        nonlocal under_way, most
        while True:
            await pace.enter()
            under_way += 1
            most = max(most, under_way)
            started, refused = asyncio.get_running_loop().time(), under_way > refuse_above
            if not refused:
                async with server:
                    await asyncio.sleep(0.002)
            else:
                await asyncio.sleep(0.0005)
            under_way -= 1
            pace.leave(started, refused)
            if not refused:
                return

    async def all_of_them() -> float:
        start, server = asyncio.get_running_loop().time(), asyncio.Semaphore(slots)
        await asyncio.gather(*(one(server) for _ in range(requests)))
        return asyncio.get_running_loop().time() - start

    return asyncio.run(all_of_them()), most


def test_it_grows_while_the_server_keeps_up_and_not_beyond() -> None:
    wide, narrow = Pace(256), Pace(256)
    _, most = simulate(wide, slots=64, requests=4000)
    assert most >= 32
    _, most = simulate(narrow, slots=4, requests=1000)
    assert most <= 32


def test_it_halves_once_for_requests_that_were_under_way_together() -> None:
    now = [0.0]
    pace = Pace(64, 32, clock=lambda: now[0])

    async def refused() -> None:
        for _ in range(10):
            await pace.enter()
        now[0] = 1.0
        for _ in range(10):
            pace.leave(0.0, throttled=True)

    asyncio.run(refused())
    assert pace.level == 16


def test_a_server_with_a_limit_is_kept_below_it_and_all_is_answered() -> None:
    pace = Pace(256, 128)
    _, most = simulate(pace, slots=16, requests=1500, refuse_above=20)
    assert pace.level < 64 and most >= 20


def test_cancelled_requests_give_their_places_back() -> None:
    async def cancel() -> float:
        pace = Pace(1, 1)
        await pace.enter()
        waiting = [asyncio.ensure_future(pace.enter()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        pace.leave(0.0)
        await waiting[1]
        pace.leave(0.0)
        await waiting[2]
        return pace.level

    assert asyncio.run(cancel()) == 1


def test_waiting_keeps_to_what_the_server_asks_for() -> None:
    assert all(2 <= backoff(0, 2.0) <= 2.3 for _ in range(50))
    assert all(0.125 <= backoff(0, None) <= 0.5 and backoff(20, None) <= 30 for _ in range(50))


def test_who_asks_to_be_first_passes_all_that_wait() -> None:
    async def in_order() -> list[str]:
        pace, order = Pace(1), list[str]()

        async def one(name: str, first: bool) -> None:
            await pace.enter(first)
            order.append(name)
            pace.leave(0.0)

        await pace.enter()
        waiting = [asyncio.create_task(one(name, name == "again")) for name in ("one", "two", "again")]
        await asyncio.sleep(0)
        pace.leave(0.0)
        await asyncio.gather(*waiting)
        return order

    assert asyncio.run(in_order()) == ["again", "one", "two"]
