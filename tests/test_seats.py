"""Seats: as many at once as there are, whatever becomes of who waits."""

import asyncio

from caption_flow.seats import Seats
from tests.roles import running


async def sit(seats: Seats, taken: list[int], number: int, leave: asyncio.Event) -> None:
    async with seats:
        taken.append(number)
        await leave.wait()


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_seats_are_taken_in_the_order_of_who_comes():
    seats, leave, taken = Seats(2), asyncio.Event(), []  # type: ignore[var-annotated]
    tasks = [asyncio.create_task(sit(seats, taken, number, leave)) for number in range(5)]
    await settled()
    assert taken == [0, 1]
    leave.set()
    await asyncio.gather(*tasks)

    assert taken == [0, 1, 2, 3, 4]


async def test_new_seats_are_taken_at_once():
    seats, leave, taken = Seats(1), asyncio.Event(), []  # type: ignore[var-annotated]
    tasks = [asyncio.create_task(sit(seats, taken, number, leave)) for number in range(4)]
    await settled()
    seats.resize(3)
    await settled()

    assert taken == [0, 1, 2]
    leave.set()
    await asyncio.gather(*tasks)


async def test_seats_that_are_taken_away_are_left_first():
    seats, leave, taken = Seats(2), asyncio.Event(), []  # type: ignore[var-annotated]
    early = [asyncio.create_task(sit(seats, taken, number, leave)) for number in range(2)]
    await settled()
    seats.resize(1)
    later = asyncio.Event()
    async with running(sit(seats, taken, 2, later)), running(sit(seats, taken, 3, later)):
        leave.set()
        await asyncio.gather(*early)
        await settled()
        assert taken == [0, 1, 2]


async def test_seat_of_who_is_cancelled_goes_to_the_next():
    seats, leave, taken = Seats(1), asyncio.Event(), []  # type: ignore[var-annotated]
    leave.set()
    async with seats:
        tasks = [asyncio.create_task(sit(seats, taken, number, leave)) for number in range(3)]
        await settled()
        tasks[0].cancel()  # while it waits
        await settled()
    tasks[1].cancel()  # with a seat that it was given just now
    await asyncio.wait(tasks)

    assert taken == [2]
