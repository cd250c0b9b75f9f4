"""A bad network: lost answers, failing calls, a server that is away. Nothing is done twice, nothing is lost."""

import gc
import hashlib
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from rolltape.clock import machine_ms
from rolltape.testing.script_server import ScriptServer
from tests.e2e.recorder_rig import recorder_of, recording_of, rig, samples_of, started, stopped

CALLS = ["heartbeat", "pending", "ack", "report", "recordings", "upload_url", "upload", "complete"]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("how", ["lose", "refuse"])
def test_a_call_that_fails_three_times_changes_nothing_in_the_end(tmp_path: Path, call: str, how: str) -> None:
    with rig(tmp_path) as (server, recorder):
        getattr(server, how)[call] = 3
        start = started(server, max_duration_sec=1)
        upload = server.uploaded(recording_of(start))
        assert upload.complete is not None
        assert hashlib.sha256(upload.data).hexdigest() == upload.complete["content_sha256"]
        assert len(samples_of(upload.data)) == 48_000
        server.wait_until(lambda: not recorder.ask(lambda p: p.journal.untold()), "every report told")
        assert recorder.microphone.opened == 1
        assert list(server.recordings) == [recording_of(start)]
        assert {report["status"] for report in start.reports} == {"executed"}
        assert all(report["result"] == start.result for report in start.reports)


def test_an_acknowledgement_that_is_answered_no_go_drops_the_command(tmp_path: Path) -> None:
    with rig(tmp_path) as (server, recorder):
        server.refuse["ack"] = 10**6
        start = server.command("start_recording")
        server.wait_until(lambda: server.calls["ack"] > 0)
        start.status = "cancelled"
        server.refuse["ack"] = 0
        server.wait_until(lambda: start.acks > 0, "the no-go")
        server.wait_status(server.command("stop_recording"), "failed")
        assert recorder.microphone.opened == 0
        assert start.reports == []


def test_without_a_go_a_start_is_not_obeyed_and_is_refused_once_its_time_is_over(tmp_path: Path) -> None:
    with rig(tmp_path) as (server, recorder):
        server.next_heartbeat_sec = 3600  # or a heartbeat would bring the go
        server.wait_until(lambda: server.calls["heartbeat"] > 1)
        server.refuse["ack"] = 10**6
        start = server.command("start_recording", ttl=1)
        assert server.wait_status(start, "failed").error == "grant_expired"
        assert server.calls["ack"] > 1
        assert start.acks == 0
        assert recorder.microphone.opened == 0


def test_a_go_that_comes_after_the_end_of_the_grant_is_no_use(tmp_path: Path) -> None:
    with rig(tmp_path) as (server, recorder):
        release = server.hold("ack")
        start = server.command("start_recording", ttl=1)
        server.wait_until(lambda: start.status == "delivered")
        server.wait_until(lambda: server.now_ms() >= start.exp * 1000, "the end of the grant")
        release.set()
        assert server.wait_status(start, "failed").error == "grant_expired"
        assert recorder.microphone.opened == 0


def test_a_stop_that_comes_while_the_go_of_a_start_is_on_its_way_wins(tmp_path: Path) -> None:
    with rig(tmp_path) as (server, recorder):
        release = server.hold("ack")
        start = server.command("start_recording")
        server.wait_until(lambda: start.status == "delivered")
        stop = server.command("stop_recording")
        server.wait_until(lambda: recorder.ask(lambda p: p.journal.get(stop.id)) is not None, "the stop was seen")
        release.set()
        assert server.wait_status(start, "failed").error == "superseded"
        assert server.wait_status(stop, "failed").error == "not_recording"
        assert recorder.microphone.opened == 0


def test_a_heartbeat_brings_the_go_where_the_acknowledgement_can_not(tmp_path: Path) -> None:
    with rig(tmp_path) as (server, _):
        server.refuse["ack"] = 10**6
        start = started(server, max_duration_sec=1)
        assert start.acks >= 1


def test_a_heartbeat_carries_the_reports_that_can_not_be_sent_alone(tmp_path: Path) -> None:
    with rig(tmp_path) as (server, recorder):
        server.refuse["report"] = 10**6
        started(server, max_duration_sec=1)
        server.wait_until(lambda: not recorder.ask(lambda p: p.journal.untold()), "told")
        assert any(beat.get("results") for beat in server.heartbeats)


def test_a_report_that_conflicts_is_given_up(tmp_path: Path) -> None:
    with rig(tmp_path) as (server, recorder):
        server.refuse["report"] = 2
        server.next_heartbeat_sec = 3600
        start = server.command("start_recording", {"max_duration_sec": 1})
        server.wait_until(lambda: server.calls["report"] > 0)
        start.status, start.error = "failed", "by a relay"
        server.wait_until(lambda: not recorder.ask(lambda p: p.journal.untold()), "given up")
        assert start.status == "failed"


def test_a_command_that_is_offered_again_after_its_result_gets_the_same_report_again(tmp_path: Path) -> None:
    with rig(tmp_path) as (server, recorder):
        start = started(server, max_duration_sec=1)
        server.wait_until(lambda: not recorder.ask(lambda p: p.journal.untold()), "told")
        server.offer_again = True
        server.wait_until(lambda: len(start.reports) > 1, "the same again")
        server.offer_again = False
        assert start.reports[-1] == start.reports[0]
        assert recorder.microphone.opened == 1


def test_retry_after_is_obeyed(tmp_path: Path) -> None:
    with rig(tmp_path) as (server, recorder):
        server.retry_after = 1
        server.refuse["report"] = 1
        server.refuse["heartbeat"] = 10**6
        began = recorder.clock.monotonic()
        started(server, max_duration_sec=1)
        assert recorder.clock.monotonic() - began >= 1


def test_what_is_recorded_while_the_server_is_away_comes_later(tmp_path: Path) -> None:
    with rig(tmp_path) as (server, recorder):
        server.offline = True
        begun, ended = recorder.press("start"), recorder.press("stop")
        assert begun["ok"]
        assert ended["ok"]
        assert begun["recording_id"] not in server.recordings
        server.offline = False
        upload = server.uploaded(begun["recording_id"])
        assert upload.complete is not None
        assert upload.complete["duration_ms"] == ended["duration_ms"]


def test_an_upload_goes_on_where_it_broke_off_and_sends_no_byte_twice(tmp_path: Path) -> None:
    with rig(tmp_path, upload_chunk_bytes=500) as (server, _):
        server.lose["upload"] = 4
        upload = server.uploaded(recording_of(started(server, max_duration_sec=1)))
        assert len(samples_of(upload.data)) == 48_000


def test_bytes_that_were_damaged_on_the_server_are_sent_again(tmp_path: Path) -> None:
    with rig(tmp_path) as (server, _):
        server.refuse["complete"] = 10**6
        recording = recording_of(started(server, max_duration_sec=1))
        server.wait_until(lambda: server.calls["complete"] > 0)
        good = server.recordings[recording].data
        server.recordings[recording].data = b"\0" * len(good)
        server.refuse["complete"] = 0
        assert server.uploaded(recording).data == good


def test_bytes_that_the_server_lost_are_sent_again(tmp_path: Path) -> None:
    with rig(tmp_path) as (server, _):
        server.refuse["complete"] = 10**6
        recording = recording_of(started(server, max_duration_sec=1))
        server.wait_until(lambda: server.calls["complete"] > 0)
        good = server.recordings[recording].data
        server.recordings[recording].data = good[:100]
        server.refuse["complete"] = 0
        assert server.uploaded(recording).data == good


def test_an_old_stop_and_a_new_start_together_are_done_in_that_order(tmp_path: Path) -> None:
    with rig(tmp_path) as (server, recorder):
        first = started(server)
        server.offline = True
        stop = server.command("stop_recording")
        start = server.command("start_recording")
        server.offline = False
        server.wait_status(stop, "executed")
        server.wait_status(start, "executed")
        assert recording_of(stop) == recording_of(first)
        assert recorder.press("status")["recording"]["recording_id"] == recording_of(start)
        stopped(server)


def test_over_tls_the_recorder_obeys_a_server_that_its_authorities_vouch_for(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    with (
        ScriptServer(tls=(certificate, key)) as server,
        recorder_of(server, tmp_path, ca_file=certificate) as recorder,
    ):
        assert recorder.settings.is_trusted
        server.uploaded(recording_of(started(server, max_duration_sec=1)))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # asyncio, after a refused handshake
def test_over_tls_the_recorder_says_nothing_to_a_server_that_nobody_vouches_for(tmp_path: Path) -> None:
    with ScriptServer(tls=self_signed(tmp_path)) as server:
        with recorder_of(server, tmp_path) as recorder:
            assert recorder.press("start")["ok"]
            assert recorder.press("stop")["ok"]
            assert not recorder.press("status")["connected"]
        assert server.calls.total() == 0
    gc.collect()


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and its key."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.fromtimestamp(machine_ms() / 1000, UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(private, hashes.SHA256())
    )
    certificate, key = folder / "server.crt", folder / "server.key"
    certificate.write_bytes(made.public_bytes(Encoding.PEM))
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return certificate, key
