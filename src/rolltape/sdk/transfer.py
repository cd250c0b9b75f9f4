"""Moving the bytes of recordings: up with tus resume (or one PUT), down with ranges; both checked by SHA-256."""

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from rolltape.sdk.calls import recordings
from rolltape.sdk.errors import IntegrityFailure, TransferFailed, error_from
from rolltape.sdk.exchange import backoff, retry_after
from rolltape.sdk.files import SUFFIXES, PartFile, content_type_of, pieces, sha256_of
from rolltape.sdk.steps import Answer, Fetch, NoAnswer, Outcome, Pause, Plan, Progress, Send, ask, now_ms, work
from rolltape.wire.ids import new_id
from rolltape.wire.recording import ContentType, DownloadUrl, Recording, UploadUrl
from rolltape.wire.times import iso

_TUS = {"Tus-Resumable": "1.0.0"}
_TIMEOUT_SEC = 60.0
_MAX_TRIES_WITHOUT_PROGRESS = 6
_PASSING = frozenset({408, 409, 423, 425, 429, 500, 502, 503, 504})
"""Statuses of a byte route after which it is worth asking where the upload is and going on."""


def upload(
    path: str | os.PathLike[str],
    *,
    recording_id: str | None = None,
    content_type: ContentType | None = None,
    started_at: str | None = None,
    duration_ms: int | None = None,
    device_id: str | None = None,
    end_user_id: str | None = None,
    name: str | None = None,
    metadata: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> Plan[Recording]:
    """Upload an audio file and answer its recording, complete and checked by SHA-256.

    Without `recording_id` a new recording is made, for `device_id` or `end_user_id`; `started_at` is then the file's
    own time unless given. A broken connection goes on where it was. Raises OSError, TransferFailed, IntegrityFailure
    and what the calls raise.
    """
    file = Path(path)
    kind = content_type or content_type_of(file)
    facts = yield from work(file.stat)
    digest = yield from work(partial(sha256_of, file))
    if recording_id is None:
        made = recordings.create(
            id=new_id("rec", (yield from now_ms())),
            started_at=started_at or iso(int(facts.st_mtime * 1000)),
            device_id=device_id,
            end_user_id=end_user_id,
            name=name or file.name[:255],
            metadata=metadata,
        )
        recording_id = (yield from ask(made)).id
    place = recordings.upload_url(recording_id, kind, file_size_bytes=facts.st_size)
    done = recordings.complete(
        recording_id, content_sha256=digest, file_size_bytes=facts.st_size, duration_ms=duration_ms
    )
    sender = _Sender(file, facts.st_size, progress)
    while not (yield from sender.go_on((yield from ask(place)))):
        pass
    try:
        return (yield from ask(done))
    except IntegrityFailure:
        yield from sender.replace_all((yield from ask(place)))
        return (yield from ask(done))


class _Sender:
    """One file on its way up."""

    def __init__(self, file: Path, size: int, progress: Progress | None) -> None:
        self.file, self.size, self.progress = file, size, progress
        self.best = 0
        self.tries = 0

    def go_on(self, place: UploadUrl) -> Plan[bool]:
        """Send what is missing. Whether all is in; False: ask for a place and come again."""
        outcome: Outcome = yield Send("HEAD", place.upload_url, _TUS, None, _TIMEOUT_SEC)
        offset = _offset(outcome)
        if offset is not None and offset >= self.size:
            return True
        if offset is not None:
            outcome = yield self._patch(place, offset)
            if (_offset(outcome) or 0) >= self.size:
                return True
        elif _refuses_tus(outcome):
            outcome = yield self._put(place)
            if isinstance(outcome, Answer) and 200 <= outcome.status < 300:
                return True
        yield from self._after(outcome, offset or 0)
        return False

    def replace_all(self, place: UploadUrl) -> Plan[None]:
        """Send the whole file in place of the wrong bytes that are there."""
        outcome: Outcome = yield self._put(place)
        if isinstance(outcome, NoAnswer):
            raise TransferFailed(f"{self.file.name} did not get there: {outcome.why}. Upload it again.")
        if outcome.status >= 300:
            raise error_from(outcome.status, outcome.headers, outcome.body, None)

    def _patch(self, place: UploadUrl, offset: int) -> Send:
        headers = {
            **_TUS,
            "Upload-Offset": str(offset),
            "Content-Type": "application/offset+octet-stream",
            "Content-Length": str(self.size - offset),
        }
        return self._bytes("PATCH", place.upload_url, headers, offset)

    def _put(self, place: UploadUrl) -> Send:
        headers = {**place.headers, "Content-Length": str(self.size)}
        return self._bytes("PUT", place.upload_url, headers, 0)

    def _bytes(self, method: str, url: str, headers: Mapping[str, str], offset: int) -> Send:
        content = partial(pieces, self.file, offset, self.size, self.progress)
        return Send(method, url, headers, content, _TIMEOUT_SEC)

    def _after(self, outcome: Outcome, offset: int) -> Plan[None]:
        """A try that did not finish: pause before the next one, or give up after six without a step ahead."""
        self.tries = 1 if offset > self.best else self.tries + 1
        self.best = max(self.best, offset)
        told: float | None = None
        if isinstance(outcome, Answer) and outcome.status >= 300:
            told = yield from retry_after(outcome.headers)
            if outcome.status not in _PASSING or self.tries >= _MAX_TRIES_WITHOUT_PROGRESS:
                raise error_from(outcome.status, outcome.headers, outcome.body, told)
        elif self.tries >= _MAX_TRIES_WITHOUT_PROGRESS:
            why = outcome.why if isinstance(outcome, NoAnswer) else f"it took {offset} of {self.size} bytes"
            raise TransferFailed(f"{self.file.name} does not get through: {why}. Upload it again to go on from there.")
        yield Pause(backoff(self.tries) if told is None else told)


def _offset(outcome: Outcome) -> int | None:
    if isinstance(outcome, NoAnswer) or not 200 <= outcome.status < 300:
        return None
    text = outcome.headers.get("upload-offset", "")
    return int(text) if text.isascii() and text.isdigit() else None


def _refuses_tus(outcome: Outcome) -> bool:
    """Whether this is a store that takes one PUT only: it answers, but not with an offset."""
    return isinstance(outcome, Answer) and outcome.status not in _PASSING


def download(recording_id: str, path: str | os.PathLike[str] = ".", *, progress: Progress | None = None) -> Plan[Path]:
    """Download a recording's file and answer where it is. `path`: a file (replaced if there), or a folder.

    A broken download goes on where it was, now or the next time; the file appears under its name only once its
    SHA-256 is right. Raises UploadIncomplete, TransferFailed, OSError and what the calls raise.
    """
    recording = yield from ask(recordings.fetch(recording_id))
    place = yield from ask(recordings.download_url(recording_id))
    target = yield from work(partial(_target, os.fspath(path), recording, place))
    part = target.with_name(f".{target.name}.{recording.id}.part")
    for _ in range(2):
        yield from _fetch_all(recording_id, part, place, progress)
        digest = yield from work(partial(sha256_of, part))
        if recording.content_sha256 in (None, digest):
            yield from work(partial(os.replace, part, target))
            return target
        yield from work(part.unlink)
    raise TransferFailed(f"what came for {recording_id} is not what was recorded: its SHA-256 is {digest}")


def _target(path: str, recording: Recording, place: DownloadUrl) -> Path:
    target = Path(path)
    if path.endswith(("/", os.sep)):
        target.mkdir(parents=True, exist_ok=True)
    if target.is_dir():
        return target / f"{recording.id}{SUFFIXES.get(place.content_type, '.audio')}"
    return target


def _fetch_all(recording_id: str, part: Path, place: DownloadUrl, progress: Progress | None) -> Plan[None]:
    """Get the rest of `part` until it has all its bytes; give up after six tries without a step ahead."""
    tries = 0
    size = place.file_size_bytes
    while True:
        sink = yield from work(partial(PartFile, part, size, progress))
        before = sink.offset
        if before == size:
            return
        outcome = yield from _fetch(sink, place)
        if sink.offset == size:
            return
        tries = 1 if sink.offset > before else tries + 1
        yield from _after_break(outcome, sink, tries)
        place = yield from ask(recordings.download_url(recording_id))


def _fetch(sink: PartFile, place: DownloadUrl) -> Plan[Outcome]:
    headers = {"Accept-Encoding": "identity"}
    if sink.offset:
        headers["Range"] = f"bytes={sink.offset}-"
    try:
        outcome: Outcome = yield Fetch(place.download_url, headers, sink, _TIMEOUT_SEC)
        return outcome
    finally:
        sink.close()


def _after_break(outcome: Outcome, sink: PartFile, tries: int) -> Plan[None]:
    told: float | None = None
    if isinstance(outcome, Answer):
        told = yield from retry_after(outcome.headers)
        if outcome.status == 416 or (outcome.status < 300 and sink.offset):
            yield from work(partial(sink.path.unlink, missing_ok=True))
        elif outcome.status >= 300 and (outcome.status not in _PASSING or tries >= _MAX_TRIES_WITHOUT_PROGRESS):
            raise error_from(outcome.status, outcome.headers, outcome.body, told)
    if tries >= _MAX_TRIES_WITHOUT_PROGRESS:
        why = outcome.why if isinstance(outcome, NoAnswer) else "the file's length does not fit"
        raise TransferFailed(f"the download does not get through: {why}. Download again to go on from there.")
    yield Pause(backoff(tries) if told is None else told)
