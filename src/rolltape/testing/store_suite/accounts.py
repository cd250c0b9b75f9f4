"""Keys and end users. See AccountStore."""

import asyncio

from rolltape.codes import Code
from rolltape.store.inputs import NewEndUser, NewKey, Position
from rolltape.testing.store_suite.house import NOW, House, Promises, on_a_store, refused
from rolltape.wire.ids import new_id

TOP = Position(2**62, 100)


def _key(at: House, n: int) -> NewKey:
    return NewKey(new_id("key", NOW), at.tenant_n, bytes([n]) * 32, f"key {n}", '["devices:read"]')


class AccountPromises(Promises):
    """Keys are kept by their hash alone."""

    @on_a_store
    async def test_a_key_is_found_by_its_hash_until_it_is_revoked(self, at: House) -> None:
        made = await at.store.insert_key(_key(at, 1), NOW)
        assert await at.store.key_by_hash(bytes([1]) * 32) == made
        assert (made.tenant_n, made.project_id, made.revoked_at) == (at.tenant_n, at.project_id, None)
        assert await at.store.key_by_hash(bytes([2]) * 32) is None
        await refused(Code.NOT_FOUND, at.store.revoke_key(at.other_tenant_n, made.id, NOW))
        await at.store.revoke_key(at.tenant_n, made.id, NOW + 1)
        found = await at.store.key_by_hash(bytes([1]) * 32)
        assert found is not None
        assert found.revoked_at == NOW + 1
        await refused(Code.NOT_FOUND, at.store.revoke_key(at.tenant_n, made.id, NOW + 2))

    @on_a_store
    async def test_keys_are_listed_newest_first_with_their_last_use(self, at: House) -> None:
        made = [await at.store.insert_key(_key(at, n), NOW) for n in range(3)]
        await at.store.revoke_key(at.tenant_n, made[1].id, NOW)
        await at.store.touch_keys({made[0].n: NOW + 9})
        listed = await at.store.list_keys(at.tenant_n, TOP)
        assert [row.id for row in listed if row.id in {key.id for key in made}] == [made[2].id, made[0].id]
        assert next(row for row in listed if row.id == made[0].id).last_used_at == NOW + 9

    @on_a_store
    async def test_an_external_id_is_unique_in_its_tenant(self, at: House) -> None:
        def new(tenant_n: int) -> NewEndUser:
            return NewEndUser(new_id("eu", NOW), tenant_n, "me", "Name", "a@b.example", '{"a":1}')

        both = await asyncio.gather(
            *(at.store.insert_end_user(new(at.tenant_n), NOW) for _ in range(2)), return_exceptions=True
        )
        made = next(answer for answer in both if not isinstance(answer, BaseException))
        await refused(Code.EXTERNAL_ID_TAKEN, at.store.insert_end_user(new(at.tenant_n), NOW))
        elsewhere = await at.store.insert_end_user(new(at.other_tenant_n), NOW)
        assert await at.store.get_end_user(at.tenant_n, made.id) == made
        assert await at.store.list_end_users(at.tenant_n, "me", TOP) == [made]
        assert await at.store.list_end_users(at.tenant_n, "you", TOP) == []
        await refused(Code.NOT_FOUND, at.store.get_end_user(at.tenant_n, elsewhere.id))

    @on_a_store
    async def test_a_store_that_is_open_answers(self, at: House) -> None:
        assert await at.store.alive()
