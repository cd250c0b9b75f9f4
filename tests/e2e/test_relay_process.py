"""`rolltape relay` as a process that can't go on: it says why, keeps its spool, and ends with 1."""

import subprocess
import sys
from pathlib import Path

import pytest

from rolltape.relay.radio import BleakRadio, NoRadio
from tests.e2e.test_demo import ROLLTAPE, clean_env
from tests.relay.town import open_town


def relay(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*ROLLTAPE, "relay", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=clean_env(), check=False)


def test_without_a_radio_or_with_a_token_that_is_none_it_ends_and_says_why(tmp_path: Path) -> None:
    with open_town(tmp_path) as town:
        done = relay("--server", town.web.base_url, "--token", "rtok_none", "--spool", str(tmp_path / "spool"))
    assert done.returncode == 1
    assert "the gateway ends: " in done.stderr
    assert "Traceback" not in done.stderr
    assert "rtok_none" not in done.stderr


def test_what_cannot_be_meant_is_told_before_anything_starts(tmp_path: Path) -> None:
    for arguments in (
        ("--server", "example.com", "--token", "x"),
        ("--server", "http://127.0.0.1:1"),
        ("--server", "http://127.0.0.1:1", "--token", "x", "--token-file", "y"),
        ("--server", "http://127.0.0.1:1", "--token-file", str(tmp_path / "missing")),
    ):
        done = relay(*arguments, "--spool", str(tmp_path / "spool"))
        assert done.returncode in {1, 2}
        assert "Traceback" not in done.stderr


def test_without_bleak_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bleak", None)
    with pytest.raises(NoRadio, match=r"pip install 'rolltape\[ble\]'"):
        BleakRadio()
