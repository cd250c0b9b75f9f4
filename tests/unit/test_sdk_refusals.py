"""What a client never sends, and the settings that it refuses."""

from collections.abc import Iterator
from typing import Any

import pytest

import rolltape
from rolltape.sdk.client import AsyncClient, Client
from tests.unit.sdk_server import KEY_TEXT, Reply, ScriptedServer, scripted_server


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as server:
        yield server


@pytest.mark.parametrize("bad", ["", "..", ".", "dev_1/..", "a b", "dev_é", "x" * 129, "dev_1?x=1", "\0", 7, None])
def test_an_id_that_is_none_is_never_sent(bad: Any, server: ScriptedServer) -> None:
    with Client(server.url, KEY_TEXT) as client, pytest.raises(rolltape.SettingsError):
        client.devices.get(bad)
    assert server.seen == []


@pytest.mark.parametrize("wait", [-1, 60.5, 3600])
def test_a_wait_that_the_server_would_not_take_is_never_sent(wait: float) -> None:
    with Client("http://127.0.0.1:1", KEY_TEXT) as client, pytest.raises(rolltape.SettingsError, match="0 to 60"):
        client.devices.start_recording("dev_1", wait=wait)


def test_what_json_cannot_hold_is_never_sent() -> None:
    with Client("http://127.0.0.1:1", KEY_TEXT) as client:
        bads: list[Any] = [{"x": object()}, {"x": "\ud800"}, {object(): 2}]
        for bad in bads:
            with pytest.raises(rolltape.SettingsError):
                client.devices.register("SN", metadata=bad)


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROLLTAPE_URL", "https://rolltape.example.com/")
    monkeypatch.setenv("ROLLTAPE_API_KEY", "sk_test_env")
    with Client() as client:
        assert client.url == "https://rolltape.example.com"


def test_without_a_key_the_client_says_where_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROLLTAPE_API_KEY", raising=False)
    with pytest.raises(rolltape.SettingsError, match="rolltape keys create"):
        Client("http://127.0.0.1:1")


@pytest.mark.parametrize("key", ["sk test", "sk_tést", "sk_test\nx"])
def test_a_key_with_stray_characters_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(rolltape.SettingsError) as caught:
        Client("http://127.0.0.1:1", key)
    assert key not in str(caught.value)


@pytest.mark.parametrize("url", ["127.0.0.1:8787", "ftp://x", "http://", "http://x:99999", "http://x?y", "http://[x"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(rolltape.SettingsError):
        Client(url, KEY_TEXT)


def test_a_client_never_shows_its_key() -> None:
    for client in (Client("http://x", KEY_TEXT), AsyncClient("http://x", KEY_TEXT)):
        assert KEY_TEXT not in repr(client) + str(client)


def test_a_redirect_is_not_followed(server: ScriptedServer) -> None:
    server.script = lambda _: Reply(307, b"", {"Location": "http://127.0.0.1:1/"})
    with Client(server.url, KEY_TEXT) as client, pytest.raises(rolltape.ApiError):
        client.devices.get("dev_1")
    assert len(server.seen) == 1


def test_what_answers_with_a_web_page_is_unexpected(server: ScriptedServer) -> None:
    server.script = lambda _: Reply(200, b"<html>")
    with Client(server.url, KEY_TEXT) as client, pytest.raises(rolltape.UnexpectedAnswer, match="URL"):
        client.devices.get("dev_1")
