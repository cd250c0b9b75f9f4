"""Bind's answer in a file, and the device's own key: taken whole or refused with a reason."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rolltape.cli.main import app
from rolltape.recorder.binding import read_binding
from rolltape.recorder.config import RecorderSettings
from rolltape.recorder.device_key import DeviceKey, receipts_in
from rolltape.recorder.identity import Identity
from rolltape.testing.vector_world import PUBLIC
from rolltape.wire.keys import jwk, un_b64url

GOOD: dict[str, Any] = {
    "id": "dev_0H2bQy5fT8nWkR3mZxPc7L",
    "grant_iss": "1f2e3d4c5b6a7988",
    "binding_generation": 3,
    "device_token": "dtok_1",
    "grant_keys": {"keys": [jwk(PUBLIC)]},
    "public_key": None,
    "serial_number": "what else bind answers is passed over",
}


def written(folder: Path, **changes: Any) -> Path:
    path = folder / "bind.json"
    path.write_text(json.dumps(GOOD | changes))
    return path


def test_who_it_is_is_known_from_the_file_and_what_was_learned_since_stays(tmp_path: Path) -> None:
    binding = read_binding(written(tmp_path))
    first = Identity(tmp_path / "identity", "", binding)
    assert (first.known.device_id, first.known.iss, first.known.generation) == (
        GOOD["id"],
        GOOD["grant_iss"],
        GOOD["binding_generation"],
    )
    first.change(generation=4)
    assert Identity(tmp_path / "identity", "", binding).known.generation == 4
    assert Identity(tmp_path / "identity", "dtok_1", binding).known.generation == 4, "the same token, and a server too"


def test_a_new_binding_replaces_the_old_one(tmp_path: Path) -> None:
    Identity(tmp_path / "identity", "", read_binding(written(tmp_path)))
    again = read_binding(written(tmp_path, device_token="dtok_2", binding_generation=9))
    assert Identity(tmp_path / "identity", "", again).known.generation == 9


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "rec_1"},
        {"grant_iss": "X"},
        {"binding_generation": -1},
        {"binding_generation": "3"},
        {"grant_keys": None},
        {"grant_keys": {"keys": []}},
        {"grant_keys": {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "!"}]}},
        {"grant_kid": "hs-3"},
    ],
)
def test_a_file_that_is_not_binds_answer_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not the answer of bind"):
        read_binding(written(tmp_path, **wrong))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not the answer of bind"):
        read_binding(tmp_path / "nowhere")


def test_a_recorder_needs_a_server_or_to_be_told_who_it_is(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="server is missing"):
        RecorderSettings(state_dir=tmp_path)
    with pytest.raises(ValueError, match="who it is"):
        RecorderSettings(state_dir=tmp_path, server="https://example.com", token="dtok_1", ble="usb:0")
    assert RecorderSettings(state_dir=tmp_path, binding=read_binding(written(tmp_path))).any_token == "dtok_1"


def test_no_secret_of_the_file_shows(tmp_path: Path) -> None:
    binding = read_binding(written(tmp_path, grant_kid="hs-3", grant_secret="A" * 43))
    settings = RecorderSettings(state_dir=tmp_path, binding=binding)
    assert "dtok_1" not in repr(settings)
    assert "AAAA" not in repr(settings)
    assert settings.shared_secret == ("hs-3", "A" * 43)


def test_the_key_is_made_once_for_its_owner_alone_and_shown_by_the_shell(tmp_path: Path) -> None:
    shown = [CliRunner().invoke(app, ["recorder-key", "--state", str(tmp_path / "s")]).stdout.strip() for _ in range(2)]
    assert shown[0] == shown[1] == DeviceKey(tmp_path / "s").public
    assert len(un_b64url(shown[0])) == 32
    assert (tmp_path / "s" / "device-key").stat().st_mode & 0o077 == 0


def test_a_damaged_key_is_not_replaced_in_silence(tmp_path: Path) -> None:
    DeviceKey(tmp_path)
    (tmp_path / "device-key").write_bytes(b"00000000 torn")
    with pytest.raises(ValueError, match="damaged"):
        DeviceKey(tmp_path)
    ended = CliRunner().invoke(app, ["recorder-key", "--state", str(tmp_path)])
    assert ended.exit_code == 1


def test_a_device_that_is_registered_with_another_key_does_not_start(tmp_path: Path) -> None:
    identity = Identity(tmp_path / "identity", "", read_binding(written(tmp_path)))
    with pytest.raises(ValueError, match="another public_key"):
        receipts_in(tmp_path, identity, "A" * 43, 0)
    assert receipts_in(tmp_path, identity, None, 0).of("state", b"{}") is None


def test_a_file_that_can_not_be_used_is_told_to_the_user(tmp_path: Path) -> None:
    ended = CliRunner().invoke(
        app, ["recorder", "--ble", "usb:0", "--bind", str(tmp_path / "no"), "--state", str(tmp_path)]
    )
    assert ended.exit_code == 2
    assert "bind" in ended.output
