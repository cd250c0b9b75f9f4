"""A channel's life: silence, links that cost, a newer one, tokens that end, a device that doesn't read, the drain."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.channel_world import Ended, Live, offers, refused, sweep
from tests.api.contract_world import BoundDevice, ContractWorld, open_contract
from tests.api.web_world import STORES

METERED = {"connection_type": ["4g"]}


@pytest.fixture(params=STORES)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContractWorld]:
    with open_contract(tmp_path_factory.mktemp("web"), store=request.param) as world:
        yield world


@pytest.fixture
def device(world: ContractWorld) -> BoundDevice:
    return world.device()


@pytest.fixture
def live(world: ContractWorld, device: BoundDevice) -> Iterator[Live]:
    live = Live(world, device.token)
    yield live
    live.close()


def pass_time(world: ContractWorld, seconds: float) -> None:
    """Time goes by, and the server looks after its channels."""
    world.pass_time(seconds)
    sweep(world)


def until_gone(world: ContractWorld) -> None:
    """Comes back once the server has let go of every channel."""

    async def gone() -> None:
        while len(world.web.web.channels):
            await world.web.app.store.flush_states()

    world.web.run(gone())


# Silence


def test_a_silent_device_is_pinged_and_at_last_given_up(world: ContractWorld, live: Live) -> None:
    live.hello()
    for _ in range(3):
        pass_time(world, 24)
        pass_time(world, 1)
        assert live.next() == {"type": "ping"}
    pass_time(world, 14)
    pass_time(world, 1)
    with pytest.raises(Ended) as how:
        live.next()
    assert how.value.code == 4408


@pytest.mark.parametrize("sign", [{"type": "pong"}, {"type": "ping"}, {"type": "of_another_age"}, {}])
def test_any_frame_is_a_sign_of_life(world: ContractWorld, live: Live, sign: dict[str, Any]) -> None:
    live.hello()
    for _ in range(4):
        pass_time(world, 50)
        live.say(**sign)
        live.so_far()
    pass_time(world, 24)
    assert live.so_far() == []


def test_a_device_on_4g_is_never_pinged_and_may_be_silent_for_ten_minutes(world: ContractWorld, live: Live) -> None:
    said = live.hello(**METERED)
    assert (said["ping_sec"], said["silence_sec"]) == (240, 600)
    for _ in range(12):
        pass_time(world, 49)
    assert live.so_far() == []
    for _ in range(12):
        pass_time(world, 50)
    assert live.ended().code == 4408
    assert live.kept == []


def test_what_a_heartbeat_says_of_the_link_counts_from_then_on(world: ContractWorld, live: Live) -> None:
    live.hello(connection_type=["wifi", "4g"])
    pass_time(world, 25)
    assert live.next() == {"type": "ping"}
    live.say(type="heartbeat", **METERED)
    live.answer("heartbeat")
    pass_time(world, 89)
    pass_time(world, 1)
    assert live.so_far() == []


def test_without_a_hello_a_channel_lives_for_ten_seconds(world: ContractWorld, live: Live) -> None:
    pass_time(world, 9)
    pass_time(world, 1)
    assert live.ended().code == 4400


def test_a_live_channel_counts_as_online_and_a_dead_one_does_not(
    world: ContractWorld, device: BoundDevice, live: Live
) -> None:
    live.hello(**METERED)
    for _ in range(10):
        pass_time(world, 59)
        assert live.so_far() == []  # the look after the channel, which notes that it lives, is over
        assert world.notice_silence() == 0
        assert world.get(device.path)["online"] is True
    live.close()
    until_gone(world)
    pass_time(world, 180)
    assert world.notice_silence() == 1
    assert world.get(device.path)["online"] is False


# One channel a device


def test_a_newer_channel_closes_the_older(world: ContractWorld, device: BoundDevice, live: Live) -> None:
    live.hello()
    newer = Live(world, device.token)
    assert live.so_far() == []  # until the newer one has said hello the older one stays
    newer.hello()
    assert live.ended().code == 4409
    live.close()
    command = device.command()["id"]
    assert newer.answer("offer")["command"]["id"] == command
    assert newer.ack(command)["type"] == "go"
    newer.close()


# Tokens


def test_a_refreshed_token_leaves_the_channel_until_the_fresh_one_is_used(
    world: ContractWorld, device: BoundDevice, live: Live
) -> None:
    live.hello()
    fresh = world.call("POST", "/v1/devices/me/token/refresh", device.token).json()["device_token"]
    live.say(type="heartbeat")
    assert live.answer("heartbeat")["status"] == "ok"
    world.call("POST", "/v1/devices/me/heartbeat", fresh, json={})
    live.say(type="heartbeat", ref=1)
    assert live.answer("error")["code"] == "unauthorized"
    assert live.ended().code == 4403
    assert world.all_events("device.token_reused", device.id) == []


def test_a_channel_whose_token_was_replaced_is_found_within_a_minute(
    world: ContractWorld, device: BoundDevice, live: Live
) -> None:
    live.hello()
    fresh = world.call("POST", "/v1/devices/me/token/refresh", device.token).json()["device_token"]
    world.call("POST", "/v1/devices/me/heartbeat", fresh, json={})
    pass_time(world, 60)
    assert live.ended().code == 4403


@pytest.mark.parametrize("how", ["unbind", "delete", "delete the user", "reset by force"])
def test_the_end_of_the_binding_ends_the_channel(
    world: ContractWorld, device: BoundDevice, live: Live, how: str
) -> None:
    live.hello()
    device.command()
    live.answer("offer")
    if how == "unbind":
        device.unbind(force=True)
    elif how == "delete":
        world.call("DELETE", f"{device.path}?force=true")
    elif how == "delete the user":
        world.call("DELETE", f"/v1/end-users/{device.user}")
    else:
        world.web.made(f"{device.path}/reset", force=True)
    assert live.ended().code == 4401
    assert refused(world, device.token)[1]["code"] == "token_revoked"


def test_a_reset_that_was_carried_out_is_answered_before_the_channel_ends(
    world: ContractWorld, device: BoundDevice, live: Live
) -> None:
    live.hello()
    reset = world.web.made(f"{device.path}/reset")["id"]
    live.answer("offer")
    assert live.ack(reset)["type"] == "go"
    assert live.report(reset)["ok"] is True
    assert live.ended().code == 4401


def test_a_reset_that_expires_ends_the_channel_too(world: ContractWorld, device: BoundDevice, live: Live) -> None:
    live.hello(**METERED)
    reset = world.web.made(f"{device.path}/reset")["id"]
    assert live.ack(reset)["type"] == "go"
    world.pass_time(7 * 86400)
    world.expire()
    assert live.ended().code == 4401


def test_a_new_binding_is_not_heard_on_the_channel_of_the_old_one(
    world: ContractWorld, device: BoundDevice, live: Live
) -> None:
    live.hello()
    device.unbind(force=True)
    device.bind()
    device.command()
    assert live.ended().code == 4401
    assert offers(live.kept) == []
    newer = Live(world, device.token)
    assert newer.hello()["binding_generation"] == 2
    assert len(offers(newer.so_far())) == 1
    newer.close()


# A device that sends too much, or doesn't read


def test_frames_over_the_rate_are_read_later_and_none_is_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    with open_contract(tmp_path_factory.mktemp("web"), device_rate=1) as world:
        live = Live(world, world.device().token)
        for ref in range(12):
            live.say(**({"type": "ping", "ref": ref} if ref else {"type": "hello", "v": 1}))
        assert live.next()["type"] == "hello"
        assert [live.next()["ref"] for _ in range(8)] == list(range(1, 9))
        for ref in (9, 10, 11):
            while not world.clock.sleepers:
                world.call("GET", "/health", "")
            with pytest.raises(TimeoutError):
                live.line.recv(0)
            world.pass_time(1)
            assert live.next() == {"type": "pong", "ref": ref}
        live.close()


def test_a_device_that_does_not_read_is_cut_off_and_holds_nobody_up(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with open_contract(tmp_path_factory.mktemp("web")) as world:
        live = Live(world, world.device().token, unread=1)
        live.hello()
        wordy = [{"id": "x" * 100, "status": "executed"}] * 1000
        channels = world.web.web.channels

        async def stuck() -> bool:
            taken = channels.frames["heartbeat"]
            for _ in range(100):
                await asyncio.sleep(0)
            return any(each.is_stuck for each in channels._all) and channels.frames["heartbeat"] == taken

        while not world.web.run(stuck()):  # until the sockets hold no more: each answer has a quarter of a megabyte
            live.say(type="heartbeat", results=wordy)
        other_device = world.device()
        other = Live(world, other_device.token)
        other.hello()
        command = other_device.command()["id"]
        assert other.answer("offer")["command"]["id"] == command
        pass_time(world, 29)
        assert len(channels) == 2
        pass_time(world, 1)
        other.close()
        until_gone(world)
        live.close()


# The end of the server


def test_a_drain_closes_every_channel_for_a_restart(world: ContractWorld, device: BoundDevice, live: Live) -> None:
    live.hello()
    quiet = Live(world, world.device().token)
    world.web.loop.call_soon_threadsafe(world.web.web.drain)
    assert [each.ended().code for each in (live, quiet)] == [1012, 1012]
    quiet.close()
