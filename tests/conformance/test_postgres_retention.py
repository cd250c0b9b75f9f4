"""What has aged, on two nodes: each of it goes once, and nobody is waited for."""

import asyncio
from typing import Any

from rolltape.codes import Code
from rolltape.store.operations import retention
from rolltape.testing.store_suite import House
from rolltape.testing.store_suite.house import NOW, refused
from tests.conformance.test_postgres_nodes import on_two_nodes, pg


class _Instead:
    """A database of which something is otherwise."""

    def __init__(self, db: Any, **other: Any) -> None:
        self._db = db
        self.__dict__.update(other)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)


@on_two_nodes
async def test_what_has_aged_goes_once_whichever_node_lets_go_of_it(one: House, two: House) -> None:
    rows = [await one.create(await one.device(), ttl=1) for _ in range(30)]
    await one.store.expire_due(NOW + 1000)
    gone = 0
    while found := await asyncio.gather(*(house.store.age_out_commands(NOW + 1000, 4) for house in (one, two))):
        gone += sum(found)
        if not any(found):
            break
    assert gone == len(rows)
    for row in rows:
        await refused(Code.NOT_FOUND, two.get(row, NOW + 1000))
    events = [await house.store.age_out_events(NOW, 100) for house in (one, two)]
    assert events == [60, 0]


@on_two_nodes
async def test_a_device_that_somebody_holds_is_left_for_the_next_time(one: House, two: House) -> None:
    held, free = [await one.create(await one.device(), ttl=1) for _ in range(2)]
    await one.store.expire_due(NOW + 1000)

    async def meanwhile(db: Any) -> int:
        await db.hold([held.device_id])
        return await asyncio.wait_for(two.store.age_out_commands(NOW + 1000, 10), 5)

    assert await pg(one)._at.write(meanwhile) == 1
    await refused(Code.NOT_FOUND, two.get(free, NOW + 1000))
    assert (await two.get(held, NOW + 1000)).status == "expired"
    assert await two.store.age_out_commands(NOW + 1000, 10) == 1


@on_two_nodes
async def test_a_report_that_lands_meanwhile_keeps_its_command(one: House, two: House) -> None:
    """Whoever lets go looks again once it holds the device."""
    row = await one.create(await one.device(), ttl=1)
    await one.store.expire_due(NOW + 1000)
    looked = asyncio.Event()

    async def late(db: Any) -> int:
        hold_free = db.hold_free

        async def reported_first(device_ids: Any) -> Any:
            await two.report(row, now=NOW + 2000)
            looked.set()
            return await hold_free(device_ids)

        return await retention.age_out_commands(_Instead(db, hold_free=reported_first), NOW + 1000, 10)

    assert await pg(one)._at.write(late) == 0
    assert looked.is_set()
    assert (await two.get(row, NOW + 2000)).status == "executed"
