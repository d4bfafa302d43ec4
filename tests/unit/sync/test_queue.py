"""The work queue: one key once, never twice in parallel, nothing lost, nobody starved."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from azure_batch_operator.sync import queue as module
from azure_batch_operator.sync.queue import Urgency, WorkQueue


async def test_a_key_stands_in_the_queue_once() -> None:
    queue: WorkQueue[str] = WorkQueue()
    for _ in range(5):
        queue.add("a", Urgency.REFRESH)
        queue.add("a", Urgency.USER)
    assert len(queue) == 1
    assert await queue.get() == "a"
    queue.done("a")
    assert len(queue) == 0


async def test_users_overtake_refreshes() -> None:
    queue: WorkQueue[str] = WorkQueue()
    for name in "abc":
        queue.add(name, Urgency.REFRESH)
    queue.add("c", Urgency.USER)
    queue.add("d", Urgency.USER)
    assert [await queue.get() for _ in range(4)] == ["c", "d", "a", "b"]


async def test_a_queued_or_due_key_wakes_one_worker() -> None:
    class Counted(WorkQueue[str]):
        looks = 0

        def _pop(self) -> str | None:
            self.looks += 1
            return super()._pop()

    queue = Counted()
    workers = [asyncio.create_task(queue.get()) for _ in range(16)]
    await asyncio.sleep(0)
    queue.add("a")
    await asyncio.wait(workers, return_when=asyncio.FIRST_COMPLETED)
    queue.add_after("late", 3600.0)
    queue.add_after("soon", 0.001)
    queue.add_after("soon", 60.0)
    left = [each for each in workers if not each.done()]
    # Without an alarm nobody is woken for an hour.
    _, waiting = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED, timeout=30)
    assert {each.result() for each in workers if each.done()} == {"a", "soon"}
    assert queue.looks == 2
    assert queue.delayed == 1
    for each in waiting:
        each.cancel()


async def test_a_worker_that_is_cancelled_when_it_is_woken_leaves_the_key_to_another() -> None:
    queue: WorkQueue[str] = WorkQueue()
    first, second = (asyncio.create_task(queue.get()) for _ in range(2))
    await asyncio.sleep(0)
    queue.add("a")
    first.cancel()
    assert await second == "a"


async def test_a_key_added_while_worked_on_comes_back_afterwards() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    assert await queue.get() == "a"
    queue.add("a")
    assert len(queue) == 0
    queue.done("a")
    assert await queue.get() == "a"


async def test_a_key_that_a_user_changed_while_it_was_worked_on_goes_first_whatever_else_was_wished() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    assert await queue.get() == "a"
    queue.add("other", Urgency.REFRESH)
    queue.add("a", Urgency.USER)
    queue.add("a", Urgency.REFRESH)
    queue.done("a")
    assert [await queue.get(), await queue.get()] == ["a", "other"]


async def test_a_key_that_is_due_overtakes_no_change_of_a_user() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add_after("due", 0.0)
    async with asyncio.timeout(30):
        while not len(queue):
            await asyncio.sleep(0)
    queue.add("changed")
    assert [await queue.get(), await queue.get()] == ["changed", "due"]


async def test_a_key_has_waited_since_it_was_first_added(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a key that changes all the time would seem to wait for nothing."""
    now, waited = [100.0], list[float]()
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(module.WAITED, "observe", waited.append)
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a", Urgency.REFRESH)
    now[0] += 5
    queue.add("a", Urgency.USER)
    now[0] += 2
    assert await queue.get() == "a"
    queue.done("a")
    queue.add("a")
    now[0] += 1
    assert await queue.get() == "a"
    assert waited == [7.0, 1.0]


async def test_refreshes_and_changes_of_users_take_turns_however_many_there_are() -> None:
    """Eight changes, then one refresh, and so on: neither kind keeps the other from being served."""
    queue: WorkQueue[str] = WorkQueue()
    for number in range(27):
        queue.add(f"user {number}", Urgency.USER)
        queue.add(f"refresh {number}", Urgency.REFRESH)
    served = [(await queue.get()).partition(" ")[0] for _ in range(27)]
    assert served == 3 * (8 * ["user"] + ["refresh"])


async def test_changes_that_went_before_an_earlier_refresh_do_not_count_for_the_next_one() -> None:
    queue: WorkQueue[str] = WorkQueue()
    served = list[str]()
    for round_ in ("first", "second"):
        queue.add(f"{round_} refresh", Urgency.REFRESH)
        for number in range(5):
            queue.add(f"{round_} {number}", Urgency.USER)
        served += [await queue.get() for _ in range(6)]
    assert [served.index("first refresh"), served.index("second refresh")] == [5, 11]


async def test_a_flood_of_changes_does_not_starve_a_refresh() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("refresh", Urgency.REFRESH)
    served = []
    for number in range(20):
        queue.add(f"change {number}", Urgency.USER)
        queue.add(f"change {number}, again", Urgency.USER)
        served.append(await queue.get())
    assert served.index("refresh") == 8


async def test_the_earliest_of_several_requests_wins() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add_after("a", 1000.0)
    queue.add_after("a", 0.0)
    queue.add_after("a", 2000.0)
    assert await asyncio.wait_for(queue.get(), 10) == "a"
    assert queue.delayed == 0


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.sampled_from(Urgency)), max_size=60), st.integers(1, 5), st.integers(1, 3)
)
def test_every_addition_is_followed_by_a_look_and_no_two_looks_overlap(
    additions: list[tuple[int, Urgency]], workers: int, width: int
) -> None:
    async def scenario() -> None:
        queue: WorkQueue[int] = WorkQueue(lambda key: key % 2, width)
        active: Counter[int] = Counter()
        seen_after: dict[int, int] = {}
        added: dict[int, int] = {}

        async def work() -> None:
            while True:
                key = await queue.get()
                active[key] += 1
                assert active[key] == 1
                assert sum(number for other, number in active.items() if other % 2 == key % 2) <= width
                seen_after[key] = added.get(key, 0)
                await asyncio.sleep(0)
                active[key] -= 1
                queue.done(key)

        tasks = [asyncio.create_task(work()) for _ in range(workers)]
        for number, (key, urgency) in enumerate(additions, 1):
            added[key] = number
            queue.add(key, urgency)
            if number % 3 == 0:
                await asyncio.sleep(0)
        async with asyncio.timeout(10):
            while seen_after != added:
                assert not any(task.done() for task in tasks)
                await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    asyncio.run(scenario())


def _by_first_letter(key: str) -> str:
    return key[0]


async def test_a_lane_that_is_full_keeps_no_other_waiting() -> None:
    queue: WorkQueue[str] = WorkQueue(_by_first_letter, width=2)
    for key in ("a1", "a2", "a3", "a4", "b1"):
        queue.add(key)
    assert sorted([await queue.get() for _ in range(3)]) == ["a1", "a2", "b1"]
    more = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.done("b1")
    await asyncio.sleep(0)
    assert not more.done()
    queue.done("a1")
    assert await more == "a3"
    queue.done("a2")
    assert await queue.get() == "a4"


async def test_lanes_take_turns() -> None:
    queue: WorkQueue[str] = WorkQueue(_by_first_letter)
    for key in ("a1", "a2", "a3", "b1"):
        queue.add(key)
    assert [await queue.get() for _ in range(4)] == ["a1", "b1", "a2", "a3"]


async def test_a_key_counts_for_the_lane_that_it_has_when_it_is_taken() -> None:
    lanes = dict.fromkeys(("x", "y", "z"), "unknown")
    queue: WorkQueue[str] = WorkQueue(lambda key: lanes.get(key, key), width=1)
    for key in lanes:
        queue.add(key)
    lanes |= {"x": "slow", "y": "slow"}
    assert {await queue.get(), await queue.get()} == {"x", "z"}
    queue.add("free")
    assert await queue.get() == "free"
    queue.done("x")
    assert await queue.get() == "y"


async def test_the_event_loop_gets_a_turn_between_two_keys() -> None:
    """A pass takes milliseconds: a change that comes in the middle of thousands waits for one of them, not for eight."""
    queue: WorkQueue[int] = WorkQueue()
    for number in range(100):
        queue.add(number)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    seen = list[int]()
    for _ in range(100):
        queue.done(await queue.get())
        seen.append(turns)
    task.cancel()
    assert len(set(seen)) == 100


async def test_a_flood_in_one_lane_lets_its_own_refreshes_through_whatever_others_have() -> None:
    """A refresh of a lane is served after eight users' changes of it, also while another lane has refreshes all the time."""
    queue: WorkQueue[str] = WorkQueue(lambda key: key[0], width=2)
    for number in range(40):
        queue.add(f"a-user-{number}", Urgency.USER)
    queue.add("a-refresh", Urgency.REFRESH)
    active, served = [await queue.get(), await queue.get()], 2
    while "a-refresh" not in active and served < 40:
        queue.add(f"b-refresh-{served}", Urgency.REFRESH)
        # The lane is full, so the other one has its turn.
        queue.done(await queue.get())
        queue.done(active.pop(0))
        active.append(await queue.get())
        served += 1
    assert served == 9, "the ninth key of the lane is its refresh"
