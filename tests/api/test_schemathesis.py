"""The document as a source of requests, good and bad: no 500, and no answer that the document doesn't have."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig, SchemathesisConfig
from schemathesis.specs.openapi import checks as rules

from rolltape.web.openapi import document
from rolltape.web.operation import Operation
from rolltape.web.table import OPERATIONS
from tests.api.web_world import WebWorld, open_web

EXAMPLES = 20
ENOUGH = settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
SCHEMA = schemathesis.openapi.from_dict(
    document(OPERATIONS),
    config=SchemathesisConfig(
        projects=ProjectsConfig(default=ProjectConfig(generation=GenerationConfig(with_security_parameters=False)))
    ),
)
CHECKS = [
    schemathesis.checks.not_a_server_error,
    rules.status_code_conformance,
    rules.content_type_conformance,
    rules.response_headers_conformance,
    rules.response_schema_conformance,
]


@schemathesis.serializer("audio/*", "application/offset+octet-stream")
def as_bytes(context: Any, value: Any) -> Any:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


class Crowd:
    """A world with one of everything, made again when a request has deleted it."""

    def __init__(self, world: WebWorld) -> None:
        self.world = world
        self.ids: dict[str, str] = {}
        self.token = ""
        self.relay = ""

    def fill(self) -> None:
        device_id, self.token = self.world.bound_device()
        command = self.world.made(f"/v1/devices/{device_id}/commands", type="start_recording")
        recording = self.world.made("/v1/recordings", started_at="2026-01-02T03:04:05.678Z", device_id=device_id)
        upload = self.world.call(
            "POST", f"/v1/recordings/{recording['id']}/upload-url", json={"content_type": "audio/ogg"}
        )
        self.ids = {
            "device_id": device_id,
            "command_id": command["id"],
            "recording_id": recording["id"],
            "end_user_id": self.world.call("GET", f"/v1/devices/{device_id}").json()["end_user_id"],
            "key_id": self.world.made("/v1/keys")["id"],
            "media_id": upload.json()["media_id"],
        }
        self.relay = self.world.made("/v1/relay-tokens", end_user_id=self.ids["end_user_id"])["relay_token"]

    def credential(self, operation: Operation, by_device: bool) -> str:
        if operation.relay:
            return self.relay
        return self.token if by_device and operation.device else self.world.key


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crowd]:
    with open_web(tmp_path_factory.mktemp("web")) as world:
        crowd = Crowd(world)
        crowd.fill()
        yield crowd


def _hurried(case: Any) -> None:
    """No answer is held back for long."""
    if isinstance(case.query, dict) and "wait" in case.query and _is_number(case.query["wait"]):
        case.query["wait"] = min(float(case.query["wait"]), 0.01)
    if case.headers:
        case.headers.pop("Prefer", None)


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: str(mode.value))
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda op: str(op.name))
def test_no_request_gets_a_500_or_an_answer_that_is_not_documented(
    crowd: Crowd, operation: Operation, mode: GenerationMode
) -> None:
    requests = SCHEMA[operation.path][operation.method].as_strategy(generation_mode=mode)

    @ENOUGH
    @given(requests, st.booleans(), st.booleans())
    def try_one(case: Any, there: bool, by_device: bool) -> None:
        _hurried(case)
        if there:
            case.path_parameters = {name: crowd.ids[name] for name in operation.params}
        credential = crowd.credential(operation, by_device)
        answer = case.call(base_url=crowd.world.base_url, headers={"Authorization": f"Bearer {credential}"})
        whole = there or operation.lenient  # what was wrong was put right, or may be ignored
        case.validate_response(answer, checks=CHECKS if whole else [*CHECKS, rules.negative_data_rejection])
        headers = {name: values[-1] for name, values in answer.headers.items()}
        path = answer.request.path_url
        crowd.world.document.check(operation.method, path, answer.status_code, headers, answer.content)

    if operation.params or operation.body or operation.query:
        try_one()
    crowd.fill()
