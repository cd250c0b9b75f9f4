"""A device's state, its nonce and its recordings through a relay."""

import hashlib
import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from rolltape.codes import Code
from rolltape.wire.ids import new_id
from rolltape.wire.keys import b64url
from tests.api.contract_world import ContractWorld, open_contract
from tests.api.relay_world import Relayed, relay_token, relayed
from tests.api.web_world import STORES, is_refused

BEGAN = "2027-01-01T11:00:00.000Z"
AUDIO = b"OggS" + bytes(range(256)) * 8


@pytest.fixture(scope="module", params=STORES)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContractWorld]:
    with open_contract(tmp_path_factory.mktemp("web"), store=request.param) as world:
        yield world


@pytest.fixture
def keyed(world: ContractWorld) -> Relayed:
    return relayed(world, keyed=True)


@pytest.fixture(params=["EdDSA", "HS256"])
def plain(request: pytest.FixtureRequest, world: ContractWorld) -> Relayed:
    return relayed(world, grant_alg=request.param)


def state(of: Relayed) -> dict[str, Any]:
    found: dict[str, Any] = of.world.get(f"{of.device.path}/state")
    return found


# Heartbeats


def test_a_signed_heartbeat_is_the_devices_own_word_on_its_state(keyed: Relayed) -> None:
    running = {"recording_id": "rec_1", "initiated_by": "local"}
    assert keyed.signed_heartbeat(battery_percent=12, recording=running).json()["taken"] is True
    seen = state(keyed)
    assert (seen["battery_percent"], seen["last_seen_by"]) == (12, "ble")
    assert seen["recording"]["evidence"] == "device_signed"


def test_an_unsigned_heartbeat_of_a_device_that_signs_changes_nothing(keyed: Relayed) -> None:
    command = keyed.device.command()["id"]
    before = state(keyed)
    answer = keyed.heartbeat(
        battery_percent=1,
        recording={"recording_id": "rec_x"},
        acks=[command],
        results=[{"id": command, "status": "executed"}],
        grant_kids=[],
        replay_state_lost=True,
    )
    assert (answer.status_code, answer.json()) == (202, {"claimed": True, "status": None})
    assert (state(keyed), keyed.device.story(command)) == (before, ["created"])


def test_a_heartbeat_through_a_relay_makes_no_device_online(world: ContractWorld, plain: Relayed) -> None:
    plain.heartbeat(battery_percent=50)
    seen = world.get(plain.device.path)
    assert (seen["online"], seen["last_heartbeat_at"] is not None) == (False, True)
    assert [data["id"] for data in world.all_events("device.online", plain.device.id)] == []


@pytest.mark.parametrize("signed", [False, True])
def test_a_device_that_is_online_itself_is_not_overruled(world: ContractWorld, signed: bool) -> None:
    device = relayed(world, keyed=signed)
    device.device.heartbeat(battery_percent=80, recording=None, connection_type=["wifi"])
    late = device.signed_heartbeat(battery_percent=3, recording={"recording_id": "rec_x"}, firmware_version="0.0")
    assert (late.status_code, late.json()["taken"]) == (200, False)
    seen = state(device)
    assert (seen["battery_percent"], seen["last_seen_by"], seen["recording"]["active"]) == (80, "wifi", False)
    world.pass_time(181)
    assert device.signed_heartbeat(battery_percent=3).json()["taken"] is True
    assert (state(device)["battery_percent"], state(device)["last_seen_by"]) == (3, "ble")


def test_a_stale_heartbeat_is_refused_and_so_is_one_that_comes_twice(keyed: Relayed) -> None:
    older = keyed.signed("state", {"battery_percent": 90})
    newer = keyed.signed("state", {"battery_percent": 10})
    assert keyed.heartbeat(**newer).status_code == 200
    for body in (older, newer):
        answer = keyed.heartbeat(**body)
        assert is_refused(answer, 400, Code.INVALID_REQUEST, "receipt")
        assert "stale" in answer.json()["error"]["message"]
    assert state(keyed)["battery_percent"] == 10


def test_a_state_from_before_a_report_is_stale_once_that_report_is_in(keyed: Relayed) -> None:
    start = keyed.device.command()["id"]
    before = keyed.signed("state", {"recording": {"recording_id": "rec_1", "initiated_by": "remote"}})
    keyed.signed_report(start, "failed", error={"code": "storage_full"})
    assert is_refused(keyed.heartbeat(**before), 400, Code.INVALID_REQUEST, "receipt")


def test_a_wrong_heartbeat_uses_no_counter_up(keyed: Relayed) -> None:
    wrong = {"recording": {"recording_id": "rec_1", "started_at": "yesterday"}}
    said = keyed.receipt("state", wrong, counter=7)
    assert is_refused(
        keyed.heartbeat(**wrong, receipt=keyed.sign(said)), 400, Code.INVALID_REQUEST, "recording.started_at"
    )
    right = {"battery_percent": 1}
    assert keyed.heartbeat(**right, receipt=keyed.sign(keyed.receipt("state", right, counter=7))).status_code == 200


def test_counters_begin_anew_with_a_binding(keyed: Relayed) -> None:
    said = keyed.receipt("state", {}, counter=1000)
    assert keyed.heartbeat(receipt=keyed.sign(said)).status_code == 200
    keyed.device.unbind(force=True)
    keyed.device.bind()
    assert keyed.heartbeat(receipt=keyed.sign(said)).status_code == 400
    said = keyed.receipt("state", {}, counter=1)
    assert keyed.heartbeat(receipt=keyed.sign(said)).status_code == 200


def test_items_in_a_heartbeat_stand_on_its_evidence_and_answer_for_themselves(world: ContractWorld) -> None:
    for keyed_device, word in ((False, "relay"), (True, "device_signed")):
        device = relayed(world, keyed=keyed_device)
        first, second = (device.device.command("trigger_upload")["id"] for _ in range(2))
        answer = device.signed_heartbeat(
            acks=[first, "cmd_nobody", 7], results=[{"id": second, "status": "executed"}, {"id": second}]
        ).json()
        assert [item["go"] for item in answer["acks"]] == [True, False, False]
        assert [item["ok"] for item in answer["results"]] == [True, False]
        assert "commands" not in answer
        told = [device.device.read(id_) for id_ in (first, second)]
        assert [(each["status"], each["delivery"]["evidence"]) for each in told] == [
            ("delivered", word),
            ("executed", word),
        ]


def test_grant_keys_are_confirmed_by_a_signature_alone(world: ContractWorld, keyed: Relayed) -> None:
    plain = relayed(world)

    def held(of: Relayed) -> str:
        return world.web.run(world.web.app.store.device_facts(1, of.device.id)).held_kids

    before = held(plain)
    plain.heartbeat(grant_kids=[])
    assert held(plain) == before
    keyed.signed_heartbeat(grant_kids=[])
    assert held(keyed) == "[]"


def test_a_relays_claim_on_a_device_that_is_connected_elsewhere_is_neither_lost_nor_believed(keyed: Relayed) -> None:
    command = keyed.device.command()["id"]
    keyed.device.heartbeat(acks=[command])
    assert keyed.heartbeat(recording={"recording_id": "rec_x"}).status_code == 202
    assert keyed.report(command).status_code == 202
    assert keyed.device.report(command, result={"recording_id": "rec_1"}).status_code == 200
    assert keyed.device.story(command) == ["created", "delivered", "claimed", "executed"]


# The challenge


@pytest.mark.parametrize(
    "nonce",
    [
        "",
        "x",
        b64url(bytes(15)),
        b64url(bytes(17)),
        b64url(bytes(16)) + "==",
        "A" * 21 + "B",
        "+" * 22,
        "é" * 22,
        16,
        None,
    ],
)
def test_a_nonce_is_sixteen_bytes_in_base64url(plain: Relayed, nonce: object) -> None:
    answer = plain.call("POST", f"{plain.path}/challenge", json={"nonce": nonce})
    assert is_refused(answer, 400, Code.INVALID_REQUEST, "nonce")
    assert is_refused(plain.call("POST", f"{plain.path}/challenge", json={}), 400, Code.INVALID_REQUEST, "nonce")


@pytest.mark.parametrize(
    ("asked", "param"), [({"jti": "x"}, "jti"), ({"jti": 1}, "jti"), ({"recording_id": "cmd_1"}, "recording_id")]
)
def test_what_is_asked_with_a_nonce_must_be_an_id(plain: Relayed, asked: dict[str, Any], param: str) -> None:
    body = {"nonce": b64url(bytes(16)), **asked}
    answer = plain.call("POST", f"{plain.path}/challenge", json=body)
    assert is_refused(answer, 400, Code.INVALID_REQUEST, param)


def test_an_answer_has_the_time_and_only_what_was_asked(world: ContractWorld, plain: Relayed) -> None:
    said = plain.challenge()
    assert said.now == world.clock.now_ms()
    assert (said.jti, said.go, said.status, said.seq_floor, said.recording_id, said.sha256) == (None,) * 6


def test_each_nonce_has_an_answer_of_its_own(plain: Relayed) -> None:
    path, bodies = f"{plain.path}/challenge", [{"nonce": b64url(os.urandom(16))} for _ in range(2)]
    first, again, other = (plain.call("POST", path, json=body).json() for body in (bodies[0], bodies[0], bodies[1]))
    assert (first == again, first == other) == (True, False)


def test_go_is_what_an_acknowledgement_would_be_answered(world: ContractWorld, plain: Relayed) -> None:
    start = plain.device.command(ttl_seconds=60)["id"]
    assert plain.challenge(jti=start).go is True
    assert plain.device.story(start) == ["created"]
    plain.ack(start)
    assert plain.challenge(jti=start).go is True
    stop = plain.device.command("stop_recording", ttl_seconds=60)["id"]
    assert [plain.challenge(jti=id_).go for id_ in (start, stop)] == [False, True]
    world.pass_time(60)
    said = plain.challenge(jti=stop)
    assert (said.go, said.status) == (False, "expired")
    assert plain.challenge(jti="cmd_nobody").go is False


def test_a_floor_is_above_all_that_was_minted_and_raised_only_where_asked(plain: Relayed) -> None:
    plain.device.command()
    floors = [plain.challenge(seq_floor=True).seq_floor for _ in range(2)]
    assert plain.challenge(seq_floor=False).seq_floor is None
    plain.device.command()
    offers = plain.commands()["commands"]
    assert [offers[0]["seq"], *floors, offers[1]["seq"]] == [1, 2, 3, 4]


# Recordings


def upload(
    of: Relayed, recording: str, complete: dict[str, Any], audio: bytes = AUDIO, plane: str | None = None
) -> Any:
    """Sends the audio, and completes it so; through the relay, unless by another plane."""
    path = f"{plane or of.path}/recordings/{recording}"
    where = of.call("POST", f"{path}/upload-url", json={"content_type": "audio/ogg", "file_size_bytes": len(audio)})
    assert where.status_code == 201, where.text
    url = where.json()["upload_url"].removeprefix(of.world.web.base_url)
    assert of.call("PUT", url, "", content=audio, headers=where.json()["headers"]).status_code == 200
    return of.call("POST", f"{path}/upload-complete", json=complete)


def test_a_recording_comes_home_through_a_relay_and_the_device_hears_so(plain: Relayed) -> None:
    command = plain.device.command(params={"metadata": {"visit": 7}})["id"]
    recording = new_id("rec", 0)
    body = {"id": recording, "started_at": BEGAN, "command_id": command}
    made = plain.call("POST", f"{plain.path}/recordings", json=body)
    assert (made.status_code, made.json()["metadata"], made.json()["source"]) == (201, {}, "device")
    assert plain.call("POST", f"{plain.path}/recordings", json=body).status_code == 200
    assert plain.challenge(recording_id=recording).recording_id is None
    sha256 = hashlib.sha256(AUDIO)
    done = upload(plain, recording, {"content_sha256": sha256.hexdigest()})
    assert (done.status_code, done.json()["status"]) == (200, "uploaded")
    said = plain.challenge(recording_id=recording)
    assert (said.recording_id, said.sha256) == (recording, sha256.digest())
    seen = plain.world.get(f"/v1/recordings/{recording}")
    assert (seen["metadata"], seen["device_id"], seen["end_user_id"]) == (
        {"visit": 7},
        plain.device.id,
        plain.device.user,
    )


def test_a_receipt_of_a_recording_must_be_right_where_it_is_given(keyed: Relayed) -> None:
    recording = new_id("rec", 0)
    body = {"id": recording, "started_at": BEGAN}
    path = f"{keyed.path}/recordings"
    for wrong in (
        keyed.receipt("recorded", body),
        keyed.receipt("recorded", {**body, "name": "x"}, recording_id=recording),
        keyed.receipt("state", body, recording_id=recording),
        keyed.receipt("recorded", body, recording_id=recording, gen=2),
    ):
        answer = keyed.call("POST", path, json={**body, "receipt": keyed.sign(wrong)})
        assert is_refused(answer, 400, Code.INVALID_REQUEST, "receipt")
    assert keyed.world.call("GET", f"/v1/recordings/{recording}").status_code == 404
    right = keyed.signed("recorded", body, recording_id=recording)
    assert keyed.call("POST", path, json=right).status_code == 201
    complete = {"content_sha256": hashlib.sha256(AUDIO).hexdigest()}
    forged = {**complete, "receipt": keyed.sign(keyed.receipt("recorded", {"x": 1}, recording_id=recording))}
    assert is_refused(upload(keyed, recording, forged), 400, Code.INVALID_REQUEST, "receipt")
    right = keyed.signed("recorded", complete, recording_id=recording)
    assert keyed.call("POST", f"{path}/{recording}/upload-complete", json=right).status_code == 200


def test_a_relays_own_sound_never_stands_in_the_way_of_what_a_device_signed(keyed: Relayed) -> None:
    recording, other = new_id("rec", 0), b"OggS" + b"not what was heard" * 9
    assert (
        keyed.call("POST", f"{keyed.path}/recordings", json={"id": recording, "started_at": BEGAN}).status_code == 201
    )
    claimed = upload(keyed, recording, {"content_sha256": hashlib.sha256(other).hexdigest()}, other)
    assert (claimed.status_code, claimed.json()) == (202, {"claimed": True, "status": None})
    assert keyed.world.get(f"/v1/recordings/{recording}")["status"] == "pending"
    assert keyed.challenge(recording_id=recording).recording_id is None
    sha256 = hashlib.sha256(AUDIO)
    signed = keyed.signed("recorded", {"content_sha256": sha256.hexdigest()}, recording_id=recording)
    complete = f"{keyed.path}/recordings/{recording}/upload-complete"
    assert is_refused(keyed.call("POST", complete, json=signed), 409, Code.INTEGRITY_FAILURE)
    assert upload(keyed, recording, signed).json()["status"] == "uploaded"
    assert keyed.challenge(recording_id=recording).sha256 == sha256.digest()


@pytest.mark.parametrize("route", ["relay", "own connection"])
@pytest.mark.parametrize(("announced", "sent"), [(9_999, 7), (7, 7), (None, 7)])
def test_no_size_that_a_relay_announced_stands_in_the_way_either(
    keyed: Relayed, route: str, announced: int | None, sent: int
) -> None:
    recording, sha256 = new_id("rec", 0), hashlib.sha256(AUDIO).hexdigest()
    path = f"{keyed.path}/recordings/{recording}"
    keyed.call("POST", f"{keyed.path}/recordings", json={"id": recording, "started_at": BEGAN})
    where = keyed.call("POST", f"{path}/upload-url", json={"content_type": "audio/wav", "file_size_bytes": announced})
    headers = {
        "Tus-Resumable": "1.0.0",
        "Upload-Offset": "0",
        "Content-Type": "application/offset+octet-stream",
    } | ({"Upload-Length": "8888"} if announced is None else {})
    url = where.json()["upload_url"].removeprefix(keyed.world.web.base_url)
    assert keyed.call("PATCH", url, "", content=b"x" * sent, headers=headers).status_code == 204
    body = {"content_sha256": sha256, "file_size_bytes": len(AUDIO)}
    if route == "relay":
        done = upload(keyed, recording, keyed.signed("recorded", body, recording_id=recording))
    else:
        own = Relayed(keyed.device, None, keyed.device.bound["device_token"])
        done = upload(own, recording, body, plane="/v1")
    assert (done.status_code, done.json()["status"], done.json()["content_sha256"]) == (200, "uploaded", sha256)


def test_half_an_upload_that_is_announced_the_same_again_is_kept(keyed: Relayed) -> None:
    recording = new_id("rec", 0)
    keyed.call("POST", f"{keyed.path}/recordings", json={"id": recording, "started_at": BEGAN})
    announce = {"content_type": "audio/ogg", "file_size_bytes": len(AUDIO)}
    offsets = []
    for _ in range(2):
        where = keyed.call("POST", f"{keyed.path}/recordings/{recording}/upload-url", json=announce)
        url = where.json()["upload_url"].removeprefix(keyed.world.web.base_url)
        told = keyed.call("HEAD", url, "", headers={"Tus-Resumable": "1.0.0"})
        offsets.append(int(told.headers["upload-offset"]))
        headers = {"Tus-Resumable": "1.0.0", "Upload-Offset": str(offsets[-1])}
        headers["Content-Type"] = "application/offset+octet-stream"
        assert keyed.call("PATCH", url, "", content=AUDIO[:5], headers=headers).status_code == 204
    assert offsets == [0, 5]


def test_without_a_receipt_no_recording_of_a_device_that_signs_has_ended(keyed: Relayed) -> None:
    """Whether one runs decides whether the device may be given away: a relay's bare word must not say so."""
    began = "2026-01-01T00:00:00Z"
    recording = new_id("rec", 0)
    start = keyed.device.command()["id"]
    keyed.signed_ack(start)
    assert keyed.signed_report(start, result={"recording_id": recording, "started_at": began}).status_code == 200
    end = {"ended_at": "2026-01-01T00:00:01Z"}
    body = {"id": recording, "started_at": began, **end}
    made = keyed.call("POST", f"{keyed.path}/recordings", json=body)
    assert (made.status_code, made.json()["ended_at"]) == (201, None)
    assert upload(keyed, recording, end).status_code == 202
    assert keyed.world.get(f"/v1/recordings/{recording}")["ended_at"] is None
    unbind = f"{keyed.device.path}/unbind"
    assert is_refused(keyed.world.call("POST", unbind), 409, Code.DEVICE_RECORDING)
    stop = keyed.device.command("stop_recording")["id"]
    keyed.signed_ack(stop)
    assert keyed.signed_report(stop, result={"recording_id": recording}).status_code == 200
    assert keyed.world.call("POST", unbind).status_code == 200


def test_a_recording_of_another_device_or_user_is_out_of_reach(world: ContractWorld, plain: Relayed) -> None:
    other = relayed(world)
    theirs = other.call("POST", f"{other.path}/recordings", json={"started_at": BEGAN}).json()["id"]
    for call in ("upload-url", "upload-complete"):
        for path in (plain.path, other.path):
            answer = plain.call("POST", f"{path}/recordings/{theirs}/{call}", json={"content_type": "audio/ogg"})
            assert is_refused(answer, 404, Code.NOT_FOUND)
    taken = plain.call("POST", f"{plain.path}/recordings", json={"id": theirs, "started_at": BEGAN})
    assert taken.status_code in (404, 409)
    assert plain.challenge(recording_id=theirs).recording_id is None


def test_a_recording_of_an_earlier_owner_stays_out_of_the_next_ones_reach(plain: Relayed) -> None:
    mine = plain.call("POST", f"{plain.path}/recordings", json={"started_at": BEGAN}).json()["id"]
    plain.device.unbind(force=True)
    plain.device.user = plain.world.web.made("/v1/end-users", external_id=mine)["id"]
    plain.device.bind()
    next_owner = Relayed(plain.device, None, relay_token(plain.world, plain.device.user))
    body = {"content_type": "audio/ogg"}
    answer = next_owner.call("POST", f"{plain.path}/recordings/{mine}/upload-url", json=body)
    assert is_refused(answer, 404, Code.NOT_FOUND)
    assert upload(plain, mine, {}).status_code == 200
    assert next_owner.challenge(recording_id=mine).recording_id is None


def test_a_body_may_be_as_large_as_the_devices_own(plain: Relayed) -> None:
    padded = json.dumps({"new": "x" * (1024 * 1024 - 20)}).encode()
    assert plain.call("POST", f"{plain.path}/heartbeat", content=padded).status_code == 200
    assert plain.call("POST", f"{plain.path}/heartbeat", content=padded + b" " * 20).status_code == 413
