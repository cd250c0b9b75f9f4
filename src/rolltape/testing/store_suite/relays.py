"""Relays: their tokens, what they reach, what is new for them, what they claim. See RelayStore."""

import json
from dataclasses import replace
from typing import Any

from msgspec import structs

from rolltape.codes import Code
from rolltape.domain.rows import CommandRow, ReachedDevice
from rolltape.store.inputs import TOKEN_STORY_MS
from rolltape.store.relays import Audience, NewClaim, NewRelayToken
from rolltape.testing.store_suite.house import NOW, House, Promises, on_a_store, refused

TOKEN, OTHER = bytes(32), b"1" * 32
LIMIT = 100
MOST_CLAIMS = 16


def token(at: House, user: str, **facts: Any) -> NewRelayToken:
    """A token for all of that user's devices, good for an hour."""
    return replace(NewRelayToken(at.tenant_n, user, None, TOKEN, NOW + 3_600_000), **facts)


async def bound(at: House) -> tuple[str, str]:
    """A new device's id, and its user's."""
    device, user = await at.unbound(), await at.user()
    await at.bind(device, user)
    return device, user


async def reached(at: House, user: str, device: str, now: int = NOW) -> ReachedDevice | None:
    """What a relay of that user reaches of it."""
    return await at.store.reached_device(at.tenant_n, user, device, now - TOKEN_STORY_MS)


async def relay(at: House, device: str, generation: int = 1, until: int | None = None, now: int = NOW) -> list[int]:
    """Offers what waits to a relay."""
    rows, _ = await at.store.offer(device, generation, "relay", None, LIMIT, now, grants_until=until)
    return [row.seq for row in rows]


async def closed(
    at: House, user: str, after: int, device_ids: list[str] | None = None, limit: int = LIMIT
) -> list[str]:
    """The commands that a relay hears of, which were closed since."""
    named = None if device_ids is None else json.dumps(device_ids)
    upto = await at.store.relay_position(NOW)
    found = await at.store.relay_closed(Audience(user, named), after, upto, NOW - TOKEN_STORY_MS, limit)
    assert [n for n, _ in found] == sorted({n for n, _ in found})
    assert all(after < n <= upto for n, _ in found)
    return [command_id for _, command_id in found]


class RelayTokenPromises(Promises):
    """A relay's token is one end user's."""

    @on_a_store
    async def test_a_relay_token_tells_whose_it_is(self, at: House) -> None:
        device, user = await bound(at)
        await at.store.insert_relay_token(token(at, user, device_ids=json.dumps([device])), NOW)
        row = await at.store.relay_token_by_hash(TOKEN)
        assert row is not None
        assert (row.tenant_n, row.project_id, row.mode) == (at.tenant_n, at.project_id, "test")
        assert (row.end_user_id, row.device_ids, row.expires_at) == (user, json.dumps([device]), NOW + 3_600_000)
        assert await at.store.relay_token_by_hash(OTHER) is None

    @on_a_store
    async def test_a_relay_token_is_for_a_user_and_devices_that_are_the_tenants(self, at: House) -> None:
        device, user = await bound(at)
        stranger = await at.user(at.other_tenant_n)
        problem = await refused(Code.NOT_FOUND, at.store.insert_relay_token(token(at, stranger), NOW))
        assert problem.param == "end_user_id"
        await at.store.delete_device(at.tenant_n, device, True, NOW)
        for named in (device, "dev_nobody"):
            made = at.store.insert_relay_token(token(at, user, device_ids=json.dumps([named])), NOW)
            assert (await refused(Code.NOT_FOUND, made)).param == "device_ids"
        assert await at.store.relay_token_by_hash(TOKEN) is None

    @on_a_store
    async def test_a_relay_token_lasts_until_its_time_is_over(self, at: House) -> None:
        await at.store.insert_relay_token(token(at, await at.user()), NOW)
        row = await at.store.relay_token_by_hash(TOKEN)
        assert row is not None
        assert await at.store.relay_token_lasts(row.n, row.expires_at - 1)
        assert not await at.store.relay_token_lasts(row.n, row.expires_at)
        await at.store.touch_relay_tokens({row.n: NOW + 1})

    @on_a_store
    async def test_all_relay_tokens_of_a_user_are_revoked_and_no_others(self, at: House) -> None:
        mine, other = await at.user(), await at.user()
        await at.store.insert_relay_token(token(at, mine), NOW)
        await at.store.insert_relay_token(token(at, other, hash=OTHER), NOW)
        row = await at.store.relay_token_by_hash(TOKEN)
        assert row is not None
        await at.store.revoke_relay_tokens(at.tenant_n, mine)
        assert (await at.store.relay_token_by_hash(TOKEN), await at.store.relay_token_lasts(row.n, NOW)) == (
            None,
            False,
        )
        assert await at.store.relay_token_by_hash(OTHER) is not None
        await refused(Code.NOT_FOUND, at.store.revoke_relay_tokens(at.other_tenant_n, other))
        assert await at.store.relay_token_by_hash(OTHER) is not None

    @on_a_store
    async def test_relay_tokens_end_with_their_user(self, at: House) -> None:
        user = await at.user()
        await at.store.insert_relay_token(token(at, user), NOW)
        await at.store.delete_end_user(at.tenant_n, user, NOW)
        assert await at.store.relay_token_by_hash(TOKEN) is None

    @on_a_store
    async def test_relay_tokens_whose_time_is_over_do_not_pile_up(self, at: House) -> None:
        user = await at.user()
        await at.store.insert_relay_token(token(at, user, expires_at=NOW), NOW - 1)
        await at.store.insert_relay_token(token(at, user, hash=OTHER), NOW)
        assert await at.store.relay_token_by_hash(TOKEN) is None
        assert await at.store.relay_token_by_hash(OTHER) is not None


class RelayReachPromises(Promises):
    """A relay reaches what is its end user's."""

    @on_a_store
    async def test_a_relay_sees_the_devices_that_are_bound_to_its_user(self, at: House) -> None:
        first, user = await bound(at)
        second, gone = await at.unbound("HS256"), await at.unbound()
        for device in (second, gone):
            await at.bind(device, user)
        await at.store.delete_device(at.tenant_n, gone, True, NOW)
        await at.device()
        await at.create(second)
        rows = await at.store.relay_devices(at.tenant_n, user)
        assert [(row.id, row.generation, row.grant_alg, row.has_key, row.commands_wait) for row in rows] == [
            (first, 1, "EdDSA", False, False),
            (second, 1, "HS256", False, True),
        ]
        assert rows[0].held_kids == '["kid"]'
        assert await at.store.relay_devices(at.other_tenant_n, user) == []

    @on_a_store
    async def test_a_relay_reaches_a_binding_while_it_lasts_and_its_story_after_it(self, at: House) -> None:
        device, user = await bound(at)
        stop = await at.create(device, "stop_recording")
        seen = await reached(at, user, device)
        assert seen is not None
        assert (seen.generations, seen.bound, seen.last_stop_seq, seen.heartbeat_sec) == ((1,), True, stop.seq, 60)
        await at.store.unbind_device(at.tenant_n, device, True, NOW)
        seen = await reached(at, user, device, NOW + TOKEN_STORY_MS - 1)
        assert seen is not None
        assert (seen.generations, seen.bound) == ((1,), False)
        assert await reached(at, user, device, NOW + TOKEN_STORY_MS) is None

    @on_a_store
    async def test_another_users_bindings_are_out_of_a_relays_reach(self, at: House) -> None:
        device, user = await bound(at)
        other = await at.user()
        assert await reached(at, other, device) is None
        for next_user in (other, user, other):
            await at.store.unbind_device(at.tenant_n, device, True, NOW)
            await at.bind(device, next_user)
        seen = [await reached(at, each, device) for each in (user, other)]
        assert [(each.generations, each.bound) for each in seen if each] == [((3, 1), False), ((4, 2), True)]
        assert await at.store.reached_device(at.other_tenant_n, user, device, 0) is None

    @on_a_store
    async def test_a_deleted_device_still_has_its_story(self, at: House) -> None:
        device, user = await bound(at)
        await at.store.delete_device(at.tenant_n, device, True, NOW)
        seen = await reached(at, user, device)
        assert seen is not None
        assert (seen.generations, seen.bound) == ((1,), False)


class RelayNewsPromises(Promises):
    """What a relay hears, and how often."""

    @on_a_store
    async def test_a_new_command_is_news_of_its_device_and_an_offer_is_none(self, at: House) -> None:
        device, other = await at.device(), await at.device()
        before = await at.store.relay_position(NOW)
        await at.create(device)
        upto = await at.store.relay_position(NOW)
        assert upto > before
        assert await at.store.relay_news([device, other], before, upto) == {device}
        assert (
            await at.store.relay_news([other], before, upto) == await at.store.relay_news([device], upto, upto) == set()
        )
        await relay(at, device)
        assert await at.store.relay_news([device], upto, await at.store.relay_position(NOW)) == set()

    @on_a_store
    async def test_the_position_comes_after_what_is_due(self, at: House) -> None:
        device, user = await bound(at)
        row = await at.create(device, ttl=1)
        await relay(at, device)
        before = await at.store.relay_position(NOW)
        upto = await at.store.relay_position(row.expires_at)
        found = await at.store.relay_closed(Audience(user, None), before, upto, 0, LIMIT)
        assert found == [(upto, row.id)]

    @on_a_store
    async def test_what_a_relay_was_offered_is_told_once_when_it_is_closed(self, at: House) -> None:
        device, user = await bound(at)
        cancelled, expired, done = [await at.create(device, ttl=ttl) for ttl in (300, 1, 300)]
        await relay(at, device)
        unknown = await at.create(device)
        before = await at.store.relay_position(NOW)
        await at.cancel(cancelled)
        await at.cancel(unknown)
        await at.report(done)
        await at.store.expire_due(NOW + 1000)
        assert await closed(at, user, before) == [cancelled.id, done.id, expired.id]
        after = await at.store.relay_position(NOW)
        await at.report(expired)
        await at.report(cancelled)
        assert await closed(at, user, after) == []

    @on_a_store
    async def test_what_the_device_took_itself_is_told_once_and_what_a_relay_brought_when_it_ends(
        self, at: House
    ) -> None:
        device, user = await bound(at)
        own, brought, signed = [await at.create(device) for _ in range(3)]
        await relay(at, device)
        before = await at.store.relay_position(NOW)
        await at.acknowledge(brought, evidence="relay")
        await at.acknowledge(signed, evidence="device_signed")
        assert await closed(at, user, before) == []
        await at.acknowledge(own)
        assert await closed(at, user, before) == [own.id]
        for row in (own, brought, signed):
            await at.report(row)
        assert await closed(at, user, before) == [own.id, brought.id, signed.id]

    @on_a_store
    async def test_what_an_unbind_closes_is_told_to_the_relay_of_that_user_alone(self, at: House) -> None:
        device, user = await bound(at)
        row = await at.create(device)
        await relay(at, device)
        before = await at.store.relay_position(NOW)
        await at.store.unbind_device(at.tenant_n, device, True, NOW)
        other = await at.user()
        await at.bind(device, other)
        later = await at.create(device)
        await relay(at, device, 2)
        await at.cancel(later)
        assert await closed(at, user, before) == [row.id]
        assert await closed(at, other, before) == [later.id]

    @on_a_store
    async def test_closings_can_be_narrowed_to_devices_and_to_so_many(self, at: House) -> None:
        device, user = await bound(at)
        second = await at.unbound()
        await at.bind(second, user)
        rows = [await at.create(each) for each in (device, second, device)]
        before = 0
        for each in (device, second):
            await relay(at, each)
        for row in rows:
            await at.cancel(row)
        assert await closed(at, user, before) == [row.id for row in rows]
        assert await closed(at, user, before, [second]) == [rows[1].id]
        assert await closed(at, user, before, limit=2) == [rows[0].id, rows[1].id]


class RelayWordPromises(Promises):
    """Grants that end soon, claims and receipts."""

    @on_a_store
    async def test_the_greatest_end_of_a_relays_grants_is_kept(self, at: House) -> None:
        device = await at.device()
        row = await at.create(device, ttl=300)
        assert row.relay_grants_until is None
        for until, kept in ((NOW + 60_000, NOW + 60_000), (NOW + 30_000, NOW + 60_000), (NOW + 90_000, NOW + 90_000)):
            (offered,), _ = await at.store.offer(device, 1, "relay", None, LIMIT, NOW, grants_until=until)
            assert (offered.relay_grants_until, (await at.get(row)).relay_grants_until) == (kept, kept)
        await at.store.offer(device, 1, "heartbeat", None, LIMIT, NOW)
        assert (await at.get(row)).relay_grants_until == NOW + 90_000
        await relay(at, device, until=row.expires_at + 1000)
        assert (await at.get(row)).relay_grants_until == row.expires_at

    @on_a_store
    async def test_a_grant_that_a_relay_gets_whole_lasts_as_long_as_the_command(self, at: House) -> None:
        row = await at.create(await at.device())
        await relay(at, row.device_id)
        assert (await at.get(row)).relay_grants_until == row.expires_at

    async def _claim(self, at: House, row: CommandRow, digest: bytes, generation: int = 1) -> CommandRow:
        new = NewClaim(digest, {"status": "executed"})
        return await at.store.claim(row.tenant_n, row.device_id, row.id, generation, new, NOW)

    @on_a_store
    async def test_a_claim_is_told_once_and_changes_nothing(self, at: House) -> None:
        row = await at.create(await at.device())
        for digest in (b"a", b"a", b"b"):
            assert await self._claim(at, row, digest) == row
        assert await at.get(row) == row
        assert await at.history(row) == [("created", None), ("claimed", None), ("claimed", None)]
        (event, _) = (await at.store.command_events(row.tenant_n, row.device_id, row.id, 0, LIMIT, NOW))[1:]
        assert json.loads(event.data)["claim"] == {"status": "executed"}
        assert json.loads(event.data)["status"] == "pending"

    @on_a_store
    async def test_claims_do_not_fill_the_disk(self, at: House) -> None:
        row, other = [await at.create(await at.device()) for _ in range(2)]
        for n in range(MOST_CLAIMS + 5):
            await self._claim(at, row, bytes([n]))
        await self._claim(at, other, b"a")
        assert len(await at.history(row)) == 1 + MOST_CLAIMS
        assert len(await at.history(other)) == 2

    @on_a_store
    async def test_nothing_is_claimed_of_another_binding_or_device(self, at: House) -> None:
        row = await at.create(await at.device())
        await refused(Code.NOT_FOUND, self._claim(at, row, b"a", 2))
        await refused(Code.NOT_FOUND, self._claim(at, structs.replace(row, device_id=await at.device()), b"a"))
        assert await at.history(row) == [("created", None)]

    @on_a_store
    async def test_a_receipts_counter_only_grows_in_each_binding(self, at: House) -> None:
        device, other = await at.device(), await at.device()
        said = [await at.store.count_receipt(device, 1, counter) for counter in (5, 5, 4, 6, 2**63 - 1, 7)]
        assert said == [True, False, False, True, True, False]
        assert await at.store.count_receipt(device, 2, 0)
        assert await at.store.count_receipt(other, 1, 1)


class RelayPromises(RelayTokenPromises, RelayReachPromises, RelayNewsPromises, RelayWordPromises):
    """All of it."""
