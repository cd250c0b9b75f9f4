"""The bytes of recordings, up and down, over connections that break."""

import asyncio
import hashlib
import inspect
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import rolltape
from rolltape.sdk import transfer
from rolltape.sdk.client import AsyncClient, Client
from rolltape.sdk.files import SUFFIXES, content_type_of
from tests.unit.sdk_server import (
    HANG_UP,
    PLACE,
    RECORDING,
    Reply,
    ScriptedServer,
    Seen,
    as_json,
    error,
    scripted_server,
)

DATA = random.Random(7).randbytes(300_000)
SHA = hashlib.sha256(DATA).hexdigest()


class Store:
    """The byte side of a server, as far as these tests need it. `script` may answer first."""

    def __init__(self, server: ScriptedServer) -> None:
        self.server, self.url = server, server.url
        self.bytes = b""
        self.size: int | None = None
        self.tus = True
        self.sha = SHA
        self.made: list[Any] = []
        self.completed: list[Any] = []
        self.first: Callable[[Seen], Reply | None] = lambda _: None
        server.script = lambda seen: self.first(seen) or self.answer(seen)

    def answer(self, seen: Seen) -> Reply:
        match seen.method, seen.path:
            case "POST", "/v1/recordings":
                self.made.append(seen.json)
                return as_json({**RECORDING, "id": seen.json["id"], "status": "pending"}, 201)
            case "POST", path if path.endswith("/upload-url"):
                self.size = seen.json["file_size_bytes"]
                return as_json({**PLACE, "upload_url": f"{self.url}/up", "headers": {"X-Store": "yes"}}, 201)
            case "POST", path if path.endswith("/upload-complete"):
                self.completed.append(seen.json)
                good = hashlib.sha256(self.bytes).hexdigest() == seen.json["content_sha256"]
                return as_json(RECORDING) if good else error(409, "integrity_failure")
            case "GET", path if path.endswith("/download-url"):
                place = {**PLACE, "download_url": f"{self.url}/down", "file_size_bytes": len(DATA)}
                return as_json(place)
            case "GET", path if path.startswith("/v1/recordings/"):
                return as_json({**RECORDING, "content_sha256": self.sha})
            case _, "/up":
                return self._up(seen)
            case "GET", "/down":
                return self._down(seen)
        return error(404, "not_found")

    def _up(self, seen: Seen) -> Reply:
        assert "authorization" not in seen.headers
        if seen.method == "PUT":
            assert seen.headers["x-store"] == "yes"
            self.bytes = seen.body
            return as_json({})
        if not self.tus:
            return error(405, "method_not_allowed")
        assert seen.headers["tus-resumable"] == "1.0.0"
        if seen.method == "PATCH":
            assert int(seen.headers["upload-offset"]) == len(self.bytes)
            self.bytes += seen.body
        return Reply(204, headers={"Upload-Offset": str(len(self.bytes))})

    def _down(self, seen: Seen) -> Reply:
        assert "authorization" not in seen.headers
        if "range" not in seen.headers:
            return Reply(200, DATA)
        begin = int(seen.headers["range"].removeprefix("bytes=").removesuffix("-"))
        if begin >= len(DATA):
            return error(416, "range_not_satisfiable")
        return Reply(206, DATA[begin:], {"Content-Range": f"bytes {begin}-{len(DATA) - 1}/{len(DATA)}"})


@pytest.fixture
def store() -> Iterator[Store]:
    with scripted_server() as server:
        yield Store(server)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "backoff", lambda _: 0.001)


@pytest.fixture
def tape(tmp_path: Path) -> Path:
    path = tmp_path / "tape.ogg"
    path.write_bytes(DATA)
    return path


@pytest.fixture(params=[Client, AsyncClient])
def use(request: pytest.FixtureRequest, store: Store) -> Callable[[Callable[[Any], Any]], Any]:
    """Run a call with one of the two clients, whichever it is."""

    def run(call: Callable[[Any], Any]) -> Any:
        if request.param is Client:
            with Client(store.url, "sk_test_x") as client:
                return call(client)

        async def run_async() -> Any:
            async with AsyncClient(store.url, "sk_test_x") as client:
                result = call(client)
                return await result if inspect.isawaitable(result) else result

        return asyncio.run(run_async())

    return run


Use = Callable[[Callable[[Any], Any]], Any]


def test_a_file_is_uploaded_whole_and_its_hash_is_checked(use: Use, store: Store, tape: Path) -> None:
    moved: list[tuple[int, int]] = []
    recording = use(lambda c: c.recordings.upload(tape, device_id="dev_1", progress=lambda *at: moved.append(at)))
    assert recording.id == "rec_1"
    assert store.bytes == DATA
    assert store.completed == [{"content_sha256": SHA, "file_size_bytes": len(DATA)}]
    assert moved == sorted(moved)
    assert moved[-1] == (len(DATA), len(DATA))


def test_a_new_recording_has_an_id_of_its_own_so_that_it_is_made_once(use: Use, store: Store, tape: Path) -> None:
    lost = [HANG_UP]
    store.first = lambda seen: lost.pop() if seen.path == "/v1/recordings" and lost else None
    use(lambda c: c.recordings.upload(tape))
    ids = {seen.json["id"] for seen in store.server.seen if seen.path == "/v1/recordings"}
    assert len(ids) == 1
    assert store.made[0]["name"] == "tape.ogg"
    assert store.made[0]["started_at"].endswith("Z")


def test_a_broken_upload_goes_on_where_it_was(use: Use, store: Store, tape: Path) -> None:
    breaks = [1000, 150_000]

    def first(seen: Seen) -> Reply | None:
        if seen.method == "PATCH" and breaks:
            store.bytes += seen.body[: breaks.pop()]
            return HANG_UP
        return None

    store.first = first
    use(lambda c: c.recordings.upload(tape))
    assert store.bytes == DATA
    offsets = [int(seen.headers["upload-offset"]) for seen in store.server.seen if seen.method == "PATCH"]
    assert offsets == [0, 150_000, 151_000]


def test_an_upload_of_another_day_goes_on_where_it_was(use: Use, store: Store, tape: Path) -> None:
    store.bytes = DATA[:200_000]
    use(lambda c: c.recordings.upload(tape, recording_id="rec_1"))
    assert store.bytes == DATA
    assert store.made == []


def test_a_store_without_resume_gets_one_put(use: Use, store: Store, tape: Path) -> None:
    store.tus = False
    use(lambda c: c.recordings.upload(tape))
    assert store.bytes == DATA
    assert [seen.method for seen in store.server.seen if seen.path == "/up"] == ["HEAD", "PUT"]


def test_wrong_bytes_that_are_there_are_replaced(use: Use, store: Store, tape: Path) -> None:
    store.bytes = bytes(len(DATA))
    use(lambda c: c.recordings.upload(tape, recording_id="rec_1"))
    assert store.bytes == DATA


def test_an_upload_that_never_gets_ahead_is_given_up(use: Use, store: Store, tape: Path) -> None:
    store.first = lambda seen: HANG_UP if seen.method == "PATCH" else None
    with pytest.raises(rolltape.TransferFailed, match=r"tape\.ogg"):
        use(lambda c: c.recordings.upload(tape))


def test_an_upload_that_is_refused_says_why(use: Use, store: Store, tape: Path) -> None:
    store.first = lambda seen: error(413, "payload_too_large") if seen.method == "PATCH" else None
    with pytest.raises(rolltape.PayloadTooLarge):
        use(lambda c: c.recordings.upload(tape))


def test_a_file_that_is_not_there_is_an_os_error(use: Use, store: Store, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        use(lambda c: c.recordings.upload(tmp_path / "gone.ogg"))
    assert store.server.seen == []


def test_a_file_of_an_unknown_kind_is_asked_about(tmp_path: Path) -> None:
    with pytest.raises(rolltape.SettingsError, match="content_type"):
        content_type_of(tmp_path / "tape.doc")


def test_every_content_type_has_its_ending() -> None:
    for kind, suffix in SUFFIXES.items():
        assert content_type_of(Path(f"x{suffix.upper()}")) == kind


def test_a_file_is_downloaded_whole_into_a_folder(use: Use, tmp_path: Path) -> None:
    moved: list[tuple[int, int]] = []
    path = use(lambda c: c.recordings.download("rec_1", tmp_path, progress=lambda *at: moved.append(at)))
    assert path == tmp_path / "rec_1.ogg"
    assert path.read_bytes() == DATA
    assert moved[-1] == (len(DATA), len(DATA))
    assert list(tmp_path.iterdir()) == [path]


def test_a_broken_download_goes_on_where_it_was(use: Use, store: Store, tmp_path: Path) -> None:
    cuts = [Reply(200, DATA, cut=100_000)]
    store.first = lambda seen: cuts.pop() if seen.path == "/down" and cuts else None
    path = use(lambda c: c.recordings.download("rec_1", tmp_path / "mine.ogg"))
    assert path.read_bytes() == DATA
    ranges = [seen.headers.get("range") for seen in store.server.seen if seen.path == "/down"]
    assert ranges[0] is None
    assert ranges[1] is not None
    assert ranges[1].startswith("bytes=")


def test_a_download_of_another_day_goes_on_where_it_was(use: Use, store: Store, tmp_path: Path) -> None:
    (tmp_path / ".mine.ogg.rec_1.part").write_bytes(DATA[:250_000])
    path = use(lambda c: c.recordings.download("rec_1", tmp_path / "mine.ogg"))
    assert path.read_bytes() == DATA
    assert [seen.headers["range"] for seen in store.server.seen if seen.path == "/down"] == ["bytes=250000-"]


def test_a_store_that_ignores_ranges_is_read_from_the_start(use: Use, store: Store, tmp_path: Path) -> None:
    (tmp_path / ".mine.ogg.rec_1.part").write_bytes(DATA[:250_000])
    store.first = lambda seen: Reply(200, DATA) if seen.path == "/down" else None
    assert use(lambda c: c.recordings.download("rec_1", tmp_path / "mine.ogg")).read_bytes() == DATA


@pytest.mark.parametrize("rest", [b"x" * 1000, b"x" * (len(DATA) + 5)])
def test_what_is_left_of_something_else_is_thrown_away(use: Use, tmp_path: Path, rest: bytes) -> None:
    (tmp_path / ".mine.ogg.rec_1.part").write_bytes(rest)
    assert use(lambda c: c.recordings.download("rec_1", tmp_path / "mine.ogg")).read_bytes() == DATA


def test_bytes_that_are_not_those_recorded_never_get_the_name(use: Use, store: Store, tmp_path: Path) -> None:
    store.sha = "0" * 64
    with pytest.raises(rolltape.TransferFailed, match="SHA-256"):
        use(lambda c: c.recordings.download("rec_1", tmp_path / "mine.ogg"))
    assert list(tmp_path.iterdir()) == []


def test_a_download_that_never_gets_ahead_is_given_up(use: Use, store: Store, tmp_path: Path) -> None:
    store.first = lambda seen: HANG_UP if seen.path == "/down" else None
    with pytest.raises(rolltape.TransferFailed):
        use(lambda c: c.recordings.download("rec_1", tmp_path))


def test_a_download_before_the_upload_is_incomplete(use: Use, store: Store, tmp_path: Path) -> None:
    store.first = lambda seen: error(409, "upload_incomplete") if seen.path.endswith("-url") else None
    with pytest.raises(rolltape.UploadIncomplete):
        use(lambda c: c.recordings.download("rec_1", tmp_path))
