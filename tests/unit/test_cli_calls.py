"""The shell against a scripted server: what is printed, and how it ends."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rolltape.cli.exits import ExitCode
from rolltape.cli.main import main
from rolltape.cli.output import length, size
from tests.postgres import url_of
from tests.unit.sdk_server import (
    BOUND,
    COMMAND,
    DEVICE,
    END_USER,
    EVENT,
    RECORDING,
    RELAY_TOKEN,
    STATE,
    STATS,
    Reply,
    ScriptedServer,
    as_json,
    error,
    page,
    scripted_server,
)


class Ended:
    """A finished run of the shell."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Shell = Callable[..., Ended]


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as server:
        yield server


@pytest.fixture
def shell(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Run `rolltape …` in this process, with the scripted server in its environment."""
    monkeypatch.setenv("ROLLTAPE_URL", server.url)
    monkeypatch.setenv("ROLLTAPE_API_KEY", "sk_test_abc")

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["rolltape", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr()
        assert "Traceback" not in told.err
        return Ended(int(ended.value.code or 0), told.out, told.err)

    return run


def status(name: str, **fields: object) -> Reply:
    return as_json({**COMMAND, "status": name, **fields}, 201)


SHOWN: dict[str, tuple[list[str], Any]] = {
    "register": (["devices", "register", "SN-1", "--connection", "wifi"], DEVICE),
    "get": (["devices", "get", "dev_1"], DEVICE),
    "update": (["devices", "update", "dev_1", "--settings", '{"heartbeat_sec": 10}'], DEVICE),
    "bind": (["devices", "bind", "dev_1", "eu_1"], BOUND),
    "unbind": (["devices", "unbind", "dev_1", "--force"], DEVICE),
    "reset": (["devices", "reset", "dev_1"], COMMAND),
    "forced reset": (["devices", "reset", "dev_1", "--force"], DEVICE),
    "state": (["devices", "state", "dev_1"], STATE),
    "stats": (["devices", "stats"], STATS),
    "send": (["commands", "send", "dev_1", "start_recording"], COMMAND),
    "command": (["commands", "get", "dev_1", "cmd_1"], COMMAND),
    "cancel": (["commands", "cancel", "dev_1", "cmd_1"], COMMAND),
    "create user": (["end-users", "create", "mine", "--metadata", '{"a": 1}'], END_USER),
    "user": (["end-users", "get", "eu_1"], END_USER),
    "recording": (["recordings", "get", "rec_1"], RECORDING),
    "relay token": (["relay-tokens", "create", "eu_1", "--device", "dev_1", "--ttl", "60"], RELAY_TOKEN),
}


@pytest.mark.parametrize("name", SHOWN)
def test_an_object_is_shown_to_people_and_to_programs(name: str, shell: Shell, server: ScriptedServer) -> None:
    arguments, answer = SHOWN[name]
    server.script = lambda _: as_json(answer)
    people, program = shell(*arguments), shell(*arguments, "--json")
    assert (people.code, program.code) == (0, 0)
    assert program.json == answer
    assert program.err == ""
    first = answer.get("id") or answer.get("project_id") or answer.get("relay_token") or "online"
    assert str(first) in people.out
    assert server.seen[0].body == server.seen[1].body or name == "send"


LISTS: dict[str, tuple[list[str], Any]] = {
    "devices": (["devices", "list", "--status", "bound", "--online"], DEVICE),
    "commands": (["commands", "list", "dev_1", "--status", "pending", "--status", "failed"], COMMAND),
    "history": (["commands", "history", "dev_1", "cmd_1"], EVENT),
    "users": (["end-users", "list", "--external-id", "mine"], END_USER),
    "recordings": (["recordings", "list", "--device-id", "dev_1"], RECORDING),
}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_is_a_table_or_an_array(name: str, shell: Shell, server: ScriptedServer) -> None:
    arguments, item = LISTS[name]
    server.script = lambda _: as_json(page(item, item))
    people, program = shell(*arguments), shell(*arguments, "--json")
    assert program.json == [item, item]
    assert len(people.out.splitlines()) == 3
    server.script = lambda _: as_json(page())
    assert shell(*arguments, "--json").json == []
    assert shell(*arguments).out == ""


def test_a_list_says_when_there_is_more(shell: Shell, server: ScriptedServer) -> None:
    server.script = lambda seen: as_json(page(*[DEVICE] * int(dict(seen.query)["limit"]), cursor="more"))
    told = shell("devices", "list", "--limit", "2")
    assert "--limit lists more" in told.err
    assert len(told.out.splitlines()) == 3


def test_filters_reach_the_server(shell: Shell, server: ScriptedServer) -> None:
    server.script = lambda _: as_json(page())
    shell("devices", "list", "--offline", "--serial-number", "SN 1")
    assert server.seen[0].query == [("online", "false"), ("serial_number", "SN 1"), ("limit", "21")]


CODES = [
    (400, "invalid_request", ExitCode.USAGE),
    (401, "unauthorized", ExitCode.NOT_ALLOWED),
    (403, "forbidden", ExitCode.NOT_ALLOWED),
    (404, "not_found", ExitCode.NOT_FOUND),
    (409, "device_not_bound", ExitCode.CONFLICT),
    (409, "made_up_later", ExitCode.CONFLICT),
    (413, "payload_too_large", ExitCode.USAGE),
    (500, "internal_error", ExitCode.FAILED),
]


@pytest.mark.parametrize(("http", "code", "expected"), CODES)
def test_an_error_ends_with_its_exit_code_and_a_sentence(
    http: int, code: str, expected: ExitCode, shell: Shell, server: ScriptedServer
) -> None:
    server.script = lambda _: error(http, code)
    told = shell("devices", "get", "dev_1", "--json")
    assert told.code == expected
    assert told.out == ""
    assert told.err == f"Error: {code}: say what to do (request req_1)\n"


def test_a_server_that_is_not_there_is_unreachable(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rolltape.sdk.exchange._FIRST_PAUSE_SEC", 0.001)
    told = shell("devices", "stats", "--url", "http://127.0.0.1:1")
    assert told.code == ExitCode.UNREACHABLE
    assert "Is it running" in told.err


@pytest.mark.parametrize(
    ("ends", "code"),
    [("executed", 0), ("failed", 1), ("expired", 1), ("cancelled", 1), ("pending", 7), ("delivered", 7)],
)
def test_a_waiting_send_ends_as_its_command_did(ends: str, code: int, shell: Shell, server: ScriptedServer) -> None:
    server.script = lambda _: status(ends)
    told = shell("commands", "send", "dev_1", "start_recording", "--wait", "5", "--json")
    assert told.code == code
    assert told.json["status"] == ends
    assert server.seen[0].query == [("wait", "5.0")]


def test_a_send_without_wait_ends_well_while_the_command_is_open(shell: Shell, server: ScriptedServer) -> None:
    server.script = lambda _: status("pending")
    assert shell("commands", "send", "dev_1", "stop_recording").code == 0


def test_params_of_a_start_are_sent(shell: Shell, server: ScriptedServer) -> None:
    server.script = lambda _: status("pending")
    shell(
        *["commands", "send", "dev_1", "start_recording", "--max-duration", "9", "--no-upload"],
        *["--metadata", '{"room": "12"}', "--ttl", "60", "--idempotency-key", "mine"],
    )
    assert server.seen[0].json == {
        "type": "start_recording",
        "params": {"max_duration_sec": 9, "metadata": {"room": "12"}, "upload_immediately": False},
        "ttl_seconds": 60,
        "idempotency_key": "mine",
    }


def test_a_wait_over_a_minute_is_held_and_then_watched(shell: Shell, server: ScriptedServer) -> None:
    server.replies(status("pending"), as_json(COMMAND), as_json({**COMMAND, "status": "executed"}))
    told = shell("commands", "send", "dev_1", "start_recording", "--wait", "90", "--json")
    assert told.code == 0
    assert told.json["status"] == "executed"
    assert server.seen[0].query == [("wait", "60")]


def test_a_watch_prints_one_document_a_line(shell: Shell, server: ScriptedServer) -> None:
    story = [as_json({**COMMAND, "status": name}) for name in ("pending", "executed")]
    server.replies(*story, *story)
    told = shell("commands", "watch", "dev_1", "cmd_1", "--json")
    assert [json.loads(line)["status"] for line in told.out.splitlines()] == ["pending", "executed"]
    assert told.code == 0
    assert "executed" in shell("commands", "watch", "dev_1", "cmd_1").out


def test_a_watch_that_runs_out_of_time_says_so_by_its_code(shell: Shell, server: ScriptedServer) -> None:
    server.script = lambda _: as_json(COMMAND)
    assert shell("commands", "watch", "dev_1", "cmd_1", "--timeout", "0").code == ExitCode.NOT_YET


@pytest.mark.parametrize(
    "arguments",
    [
        ["devices", "get"],
        ["devices", "get", "dev/1"],
        ["devices", "get", "dev_1", "--url", "nonsense"],
        ["devices", "update", "dev_1"],
        ["devices", "register", "SN", "--metadata", "[1]"],
        ["devices", "register", "SN", "--metadata", "{"],
        ["devices", "register", "S\udcffN"],
        ["devices", "list", "--limit", "0"],
        ["devices", "nonsense"],
        ["nonsense"],
        ["commands", "send", "dev_1", "start_recording", "--wait", "-1"],
        ["recordings", "upload", "tape.doc"],
        ["recorder-control", "explode"],
        ["keys", "create", "--scopes", "devices:all"],
        ["keys", "create", "--scopes", ","],
        ["keys", "create", "--mode", "prod"],
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(arguments: list[str], shell: Shell, server: ScriptedServer) -> None:
    told = shell(*arguments)
    assert told.code == ExitCode.USAGE
    assert "Error" in told.err
    assert told.out == ""
    assert server.seen == []


def test_without_a_key_it_says_where_to_get_one(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROLLTAPE_API_KEY")
    told = shell("devices", "stats")
    assert told.code == ExitCode.NOT_ALLOWED
    assert "rolltape keys create" in told.err


@pytest.mark.parametrize("kind", [["devices", "delete", "dev_1"], ["end-users", "delete", "eu_1"]])
def test_nothing_is_deleted_without_a_yes(kind: list[str], shell: Shell, server: ScriptedServer) -> None:
    server.script = lambda _: Reply(204)
    assert shell(*kind).code == ExitCode.FAILED
    assert server.seen == []
    told = shell(*kind, "--yes", "--json")
    assert told.json == {"id": kind[2], "deleted": True}


def test_relay_tokens_are_revoked(shell: Shell, server: ScriptedServer) -> None:
    server.script = lambda _: Reply(204)
    told = shell("relay-tokens", "revoke", "eu_1", "--json")
    assert (told.code, told.json) == (0, {"end_user_id": "eu_1", "revoked": True})
    assert (server.seen[0].path, server.seen[0].query) == ("/v1/relay-tokens", [("end_user_id", "eu_1")])


def test_a_recording_is_deleted(shell: Shell, server: ScriptedServer) -> None:
    server.script = lambda _: Reply(204)
    assert shell("recordings", "delete", "rec_1", "-y").code == 0
    assert server.seen[0].method == "DELETE"


def test_a_download_does_not_replace_a_file_unasked(shell: Shell, server: ScriptedServer, tmp_path: Path) -> None:
    target = tmp_path / "mine.ogg"
    target.write_bytes(b"precious")
    assert shell("recordings", "download", "rec_1", str(target)).code == ExitCode.USAGE
    assert target.read_bytes() == b"precious"
    assert server.seen == []


def test_what_a_device_calls_itself_cannot_move_the_terminal(shell: Shell, server: ScriptedServer) -> None:
    server.script = lambda _: as_json(page({**DEVICE, "name": "\x1b[2J[red]x[/red]\u202e\r"}))
    told = shell("devices", "list")
    assert "\x1b" not in told.out
    assert "\u202e" not in told.out
    assert "[red]x[/red]" in told.out


def test_an_error_text_cannot_move_the_terminal(shell: Shell, server: ScriptedServer) -> None:
    body = {"error": {"code": "not_found", "message": "\x1b]0;x\x07", "request_id": "req_1"}}
    server.script = lambda _: as_json(body, 404)
    assert "\x1b" not in shell("devices", "get", "dev_1").err


def test_a_bug_is_told_without_a_traceback(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("oops")

    monkeypatch.setattr("rolltape.sdk.client.Client.__init__", broken)
    told = shell("devices", "stats")
    assert told.code == ExitCode.FAILED
    assert "This is a bug" in told.err


@pytest.mark.parametrize(("count", "text"), [(None, None), (999, "999 B"), (1000, "1.0 kB"), (12_345_678, "12.3 MB")])
def test_sizes_are_for_people(count: int | None, text: str | None) -> None:
    assert size(count) == text


@pytest.mark.parametrize(("ms", "text"), [(None, None), (4200, "0:04.2"), (62_000, "1:02.0"), (3_600_000, "1:00:00.0")])
def test_lengths_are_for_people(ms: int | None, text: str | None) -> None:
    assert length(ms) == text


def test_help_is_quick_and_loads_no_server_and_no_sound() -> None:
    code = (
        "import sys\nsys.argv = ['rolltape', '--help']\n"
        "from rolltape.cli.main import main\n"
        "try: main()\nexcept SystemExit as end: assert not end.code\n"
        "heavy = {'av', 'uvicorn', 'starlette', 'httpx2', 'apsw', 'cryptography', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr


def test_a_terminal_without_unicode_is_no_obstacle(server: ScriptedServer) -> None:
    server.script = lambda _: as_json(page({**DEVICE, "name": "Büro"}))
    env = {**os.environ, "ROLLTAPE_URL": server.url, "ROLLTAPE_API_KEY": "k", "PYTHONIOENCODING": "ascii"}

    def told(*more: str) -> bytes:
        command = [sys.executable, "-m", "rolltape.cli.main", "devices", "list", *more]
        return subprocess.run(command, env=env, capture_output=True, timeout=30, check=True).stdout

    assert b"B?ro" in told()
    assert json.loads(told("--json"))[0]["name"] == "Büro"


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_completion_can_be_shown(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {"_ROLLTAPE_COMPLETE": f"source_{name}", "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-c", "import sys; sys.argv = ['rolltape']; from rolltape.cli.main import main; main()"]
    done = subprocess.run(command, env=asked, capture_output=True, text=True, timeout=30, check=False)
    assert "rolltape" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "relay-tokens create"),
        (["--token", "rtok_a", "--token-file", "b"], "not both"),
        (["--token", "rtok_a", "--server", "rolltape.example.com"], "https://rolltape.example.com"),
        (["--token", "rtok_a", "--server", ""], "ROLLTAPE_SERVER"),
    ],
)
def test_a_gateway_that_lacks_its_server_or_token_is_told_what_to_pass(
    arguments: list[str], told: str, shell: Shell
) -> None:
    ended = shell("relay", *arguments)
    assert ended.code == ExitCode.USAGE
    assert told in ended.err


def test_a_gateway_whose_token_file_is_not_there_says_who_makes_one(
    shell: Shell, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    ended = shell("relay", "--token-file", str(tmp_path / "token"), "--spool", str(tmp_path / "spool"))
    assert ended.code == ExitCode.FAILED
    assert str(tmp_path / "token") in caplog.text
    assert "relay-tokens create" in caplog.text


def test_a_key_for_a_folder_that_had_no_database_is_told_so(shell: Shell, tmp_path: Path) -> None:
    first, second = (shell("keys", "create", "--data", str(tmp_path / "new")) for _ in range(2))
    assert (first.code, second.code) == (0, 0)
    assert "had no database" in first.err
    assert "had no database" not in second.err


def test_a_key_in_postgres_is_good_for_all_servers_and_nobody_says_otherwise(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROLLTAPE_DATABASE", asyncio.run(url_of(tmp_path / "database")))
    ended = shell("keys", "create", "--data", str(tmp_path / "new"))
    assert (ended.code, "had no database" in ended.err) == (0, False)
