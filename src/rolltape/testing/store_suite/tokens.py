"""Device tokens: a chain in which a lost answer strands nobody. See DeviceStore."""

from rolltape.testing.store_suite.house import NOW, House, Promises, on_a_store

FIRST, SECOND, THIRD = (bytes([n]) * 32 for n in (1, 2, 3))


class TokenPromises(Promises):
    """Only hashes are kept."""

    @on_a_store
    async def test_a_token_tells_whose_it_is(self, at: House) -> None:
        device = await at.unbound()
        await at.bind(device, token=FIRST)
        token = await at.token(FIRST)
        assert (token.tenant_n, token.device_id, token.generation) == (at.tenant_n, device, 1)
        assert (token.project_id, token.heartbeat_sec, token.grant_alg) == (at.project_id, 60, "EdDSA")
        assert (token.first_used_at, token.replaced_at, token.ended_at) == (None, None, None)
        assert await at.store.token_by_hash(SECOND) is None

    @on_a_store
    async def test_a_look_that_tells_whether_something_waits_is_right(self, at: House) -> None:
        device, other = await at.unbound(), await at.device()
        await at.bind(device, token=FIRST)
        await at.create(other)
        assert (await at.token(FIRST)).pending in (None, False)
        row = await at.create(device)
        assert (await at.token(FIRST)).pending in (None, True)
        await at.cancel(row)
        assert (await at.token(FIRST)).pending in (None, False)

    @on_a_store
    async def test_an_old_token_works_until_a_newer_one_is_first_used(self, at: House) -> None:
        device = await at.unbound()
        await at.bind(device, token=FIRST)
        await at.store.use_token(await at.token(FIRST), NOW)
        await at.store.add_token(at.tenant_n, device, 1, SECOND, NOW)
        await at.store.add_token(at.tenant_n, device, 1, THIRD, NOW)
        assert (await at.token(FIRST)).replaced_at is None
        await at.store.use_token(await at.token(SECOND), NOW + 1)
        assert ((await at.token(FIRST)).replaced_at, (await at.token(THIRD)).replaced_at) == (NOW + 1, None)
        await at.store.use_token(await at.token(THIRD), NOW + 2)
        assert ((await at.token(FIRST)).replaced_at, (await at.token(SECOND)).replaced_at) == (NOW + 1, NOW + 2)

    @on_a_store
    async def test_the_first_use_is_noted_once(self, at: House) -> None:
        device = await at.unbound()
        await at.bind(device, token=FIRST)
        for n in (1, 2):
            await at.store.use_token(await at.token(FIRST), NOW + n)
        assert (await at.token(FIRST)).first_used_at == NOW + 1

    @on_a_store
    async def test_a_reuse_can_be_noted_again_and_again(self, at: House) -> None:
        device = await at.unbound()
        await at.bind(device, token=FIRST)
        await at.store.add_token(at.tenant_n, device, 1, SECOND, NOW)
        await at.store.use_token(await at.token(SECOND), NOW)
        for n in range(3):
            await at.store.note_token_reuse(await at.token(FIRST), NOW + n)
        assert (await at.token(FIRST)).replaced_at == NOW

    @on_a_store
    async def test_the_end_of_a_binding_ends_its_tokens_and_no_others(self, at: House) -> None:
        device, user = await at.unbound(), await at.user()
        await at.bind(device, user, FIRST)
        await at.store.unbind_device(at.tenant_n, device, True, NOW + 5)
        await at.bind(device, user, SECOND)
        assert ((await at.token(FIRST)).ended_at, (await at.token(SECOND)).ended_at) == (NOW + 5, None)
        await at.store.use_token(await at.token(SECOND), NOW + 6)
        assert (await at.token(FIRST)).replaced_at is None

    @on_a_store
    async def test_tokens_that_are_never_used_do_not_pile_up(self, at: House) -> None:
        device, user = await at.unbound(), await at.user()
        await at.bind(device, user, FIRST)
        await at.store.use_token(await at.token(FIRST), NOW)
        hashes = [n.to_bytes(32, "big") for n in range(1000, 1100)]
        for hash_ in hashes:
            await at.store.add_token(at.tenant_n, device, 1, hash_, NOW)
        kept = [hash_ for hash_ in hashes if await at.store.token_by_hash(hash_) is not None]
        assert 0 < len(kept) < 50
        assert kept[-1] == hashes[-1]
        assert (await at.token(FIRST)).ended_at is None

    @on_a_store
    async def test_the_grant_keys_that_a_device_holds_are_told_with_its_token(self, at: House) -> None:
        device = await at.unbound()
        await at.bind(device, token=FIRST)
        assert (await at.token(FIRST)).held_kids == '["kid"]'
        await at.store.hold_kids(device, '["new","kid"]')
        assert (await at.token(FIRST)).held_kids == '["new","kid"]'
        assert (await at.store.device_facts(at.tenant_n, device)).held_kids == '["new","kid"]'
