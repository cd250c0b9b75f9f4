"""The vault: what it seals, derives and signs, and what it refuses."""

import asyncio
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rolltape.codes import Code, Problem
from rolltape.config import Settings
from rolltape.service.vault import KEY_BYTES, BrokenKey, Vault, load_master_key, make_master_key
from rolltape.testing.clock import ManualClock
from rolltape.wiring.build import MASTER_KEY_NAME, close_services, open_services

ISS = "0123456789abcdef"
FILTERS = ("commands", 1, "dev_a", ("pending",), None)


def vault(byte: int = 1) -> Vault:
    """One with a key of its own."""
    return Vault(bytes([byte]) * KEY_BYTES, ISS)


def test_what_was_sealed_opens_with_the_same_key_and_label_alone() -> None:
    sealed = vault().seal(b"secret", "about this")
    assert vault().open(sealed, "about this") == b"secret"
    assert b"secret" not in sealed
    for other, about in ((vault(2), "about this"), (vault(), "about that")):
        with pytest.raises(BrokenKey, match=about):
            other.open(sealed, about)


def test_each_seal_is_another() -> None:
    assert vault().seal(b"secret", "a") != vault().seal(b"secret", "a")


@pytest.mark.parametrize("at", [0, 11, 12, 17, -1])
def test_a_sealed_secret_that_was_changed_does_not_open(at: int) -> None:
    sealed = bytearray(vault().seal(b"secret", "a"))
    sealed[at] ^= 1
    with pytest.raises(BrokenKey):
        vault().open(bytes(sealed), "a")


@pytest.mark.parametrize("length", [0, 5, 12, 20])
def test_a_sealed_secret_that_was_cut_short_does_not_open(length: int) -> None:
    with pytest.raises(BrokenKey):
        vault().open(vault().seal(b"secret", "a")[:length], "a")


def test_derived_keys_differ_by_purpose_and_master_key() -> None:
    keys = {vault(n).derive(purpose) for n in (1, 2) for purpose in (b"a", b"b")}
    assert len(keys) == 4
    assert {len(key) for key in keys} == {KEY_BYTES}
    assert vault().derive(b"a") == vault().derive(b"a")


def test_a_vault_does_not_show_its_key() -> None:
    assert repr(vault()) == f"Vault(iss={ISS!r})"


def test_a_master_key_is_made_for_its_owners_eyes_and_once(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    key = make_master_key(path)
    assert len(key) == KEY_BYTES
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert make_master_key(path) == load_master_key(path) == key
    assert list(tmp_path.iterdir()) == [path]


def test_many_that_make_the_master_key_at_once_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(make_master_key, [tmp_path / "master.key"] * 8))
    assert keys == {load_master_key(tmp_path / "master.key")}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666, 0o610])
def test_a_master_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "master.key"
    make_master_key(path)
    path.chmod(mode)
    with pytest.raises(BrokenKey, match="chmod 600"):
        load_master_key(path)


@pytest.mark.parametrize("data", [b"", b"short", bytes(KEY_BYTES + 1)])
def test_a_master_key_of_the_wrong_length_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "master.key"
    path.write_bytes(data)
    path.chmod(0o600)
    with pytest.raises(BrokenKey, match=f"{len(data)} bytes"):
        load_master_key(path)


def test_a_master_key_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BrokenKey, match="backup"):
        load_master_key(tmp_path / "master.key")


def _open_and_close(folder: Path) -> str:
    async def run() -> str:
        app = await open_services(Settings(data=folder), ManualClock())
        iss = app.vault.iss
        await close_services(app)
        return iss

    return asyncio.run(run())


def test_a_deployment_keeps_its_id_and_refuses_another_master_key(tmp_path: Path) -> None:
    assert _open_and_close(tmp_path) == _open_and_close(tmp_path)
    path = tmp_path / MASTER_KEY_NAME
    path.write_bytes(bytes(KEY_BYTES))
    with pytest.raises(BrokenKey, match="not the one of this database"):
        _open_and_close(tmp_path)
    path.unlink()
    with pytest.raises(BrokenKey):
        _open_and_close(tmp_path)
    assert not path.exists()


def test_signing_keys_are_sealed_and_the_newest_that_is_held_signs() -> None:
    one = vault()
    rows = [one.new_signing_key(n) for n in range(3)]
    one.load_signing_keys(rows)
    assert one.kids() == [row.kid for row in rows]
    assert one.newest.kid == rows[2].kid
    assert one.signer_for([rows[0].kid, rows[1].kid]).kid == rows[1].kid
    assert one.signer_for(["unknown"]).kid == one.signer_for([]).kid == rows[2].kid
    assert [key["kid"] for key in one.grant_keys()["keys"]] == [row.kid for row in reversed(rows)]
    assert one.jwks() == {"iss": ISS, **one.grant_keys()}
    assert all("d" not in key for key in one.grant_keys()["keys"])
    with pytest.raises(BrokenKey):
        vault(2).load_signing_keys(rows)


def test_a_cursor_says_where_a_list_goes_on() -> None:
    cursor = vault().make_cursor(12345, FILTERS)
    assert vault().open_cursor(cursor, FILTERS) == 12345
    assert vault().open_cursor(None, FILTERS, first=7) == 7


@pytest.mark.parametrize("filters", [(), ("commands", 2, "dev_a", ("pending",), None), FILTERS[:-1]])
def test_a_cursor_is_bound_to_its_filters(filters: tuple[object, ...]) -> None:
    _is_refused(vault(), vault().make_cursor(5, FILTERS), filters)


def test_a_cursor_of_another_deployment_is_refused() -> None:
    _is_refused(vault(2), vault().make_cursor(5, FILTERS), FILTERS)


def test_a_cursor_that_was_tampered_with_is_refused_at_every_character() -> None:
    cursor = vault().make_cursor(5, FILTERS)
    for at, old in enumerate(cursor):
        other = "A" if old != "A" else "B"
        changed = cursor[:at] + other + cursor[at + 1 :]
        _is_refused(vault(), changed, FILTERS)


@pytest.mark.parametrize("cursor", ["", "x", "=" * 40, "ü", "\0", "a" * 10_000, "\ud800"])
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    _is_refused(vault(), cursor, FILTERS)


def _is_refused(by: Vault, cursor: str, filters: tuple[object, ...]) -> None:
    with pytest.raises(Problem) as raised:
        by.open_cursor(cursor, filters)
    assert (raised.value.code, raised.value.param) == (Code.INVALID_REQUEST, "cursor")
