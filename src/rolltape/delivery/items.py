"""The acknowledgements and reports inside a heartbeat: each answers for itself, and none fails the heartbeat."""

import asyncio

import msgspec

from rolltape.codes import Code, Problem
from rolltape.domain.principal import Speaker
from rolltape.service import reports
from rolltape.service.context import Services
from rolltape.wire.command import ReportItem, Route, Status
from rolltape.wire.common import Reason
from rolltape.wire.heartbeat import AckAnswer, ResultAnswer
from rolltape.wire.ids import is_id
from rolltape.wire.values import check_values, is_suspect, read_any

_decode_id = msgspec.json.Decoder(str).decode
_decode_report = msgspec.json.Decoder(ReportItem).decode
_decode_any = msgspec.json.Decoder().decode
_SHOWN_ID = 128


async def take_acks(
    app: Services, who: Speaker, device_id: str, items: list[msgspec.Raw], now: int, route: Route
) -> list[AckAnswer]:
    """Go or no-go for each. They are taken in their order, and share their commits."""
    tasks = [asyncio.ensure_future(_ack(app, who, device_id, item, now, route)) for item in items]
    return list(await asyncio.gather(*tasks))


async def _ack(app: Services, who: Speaker, device_id: str, item: msgspec.Raw, now: int, route: Route) -> AckAnswer:
    try:
        command_id = _decode_id(item)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return AckAnswer(id=None, go=False, status=None)
    if not is_id("cmd", command_id):
        return AckAnswer(id=command_id[:_SHOWN_ID], go=False, status=None)
    try:
        go = await reports.acknowledge(app, who, device_id, command_id, now=now, route=route)
    except Problem as problem:
        if problem.code == Code.UNAVAILABLE:
            raise  # no answer is no no-go: the device asks again
        return AckAnswer(id=command_id, go=False, status=status_in(problem))
    return AckAnswer(id=command_id, go=True, status=go.status)


def status_in(problem: Problem) -> Status | None:
    """The command's status that a refusal tells."""
    return None if problem.details is None else problem.details.get("status")


async def take_results(
    app: Services, who: Speaker, device_id: str, items: list[msgspec.Raw], now: int, route: Route
) -> list[ResultAnswer]:
    """What became of each report. They are landed in their order, and share their commits."""
    tasks = [asyncio.ensure_future(_result(app, who, device_id, item, now, route)) for item in items]
    return list(await asyncio.gather(*tasks))


async def _result(
    app: Services, who: Speaker, device_id: str, item: msgspec.Raw, now: int, route: Route
) -> ResultAnswer:
    try:
        body = _decode_report(item)
        if is_suspect(item):
            check_values(read_any(item))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        return _refused(_id_in(item), Code.INVALID_REQUEST, f"This report can't be read: {error}.", None)
    except Problem as problem:
        return _refused(_id_in(item), problem.code, problem.message, None)
    return await take_result(app, who, device_id, body, now, route)


async def take_result(
    app: Services, who: Speaker, device_id: str, body: ReportItem, now: int, route: Route
) -> ResultAnswer:
    """What became of one report."""
    if not is_id("cmd", body.id):
        return _refused(body.id[:_SHOWN_ID], Code.NOT_FOUND, "This is not the id of a command.", None)
    try:
        reported = await reports.land(app, who, device_id, body.id, body, now, route)
    except Problem as problem:
        return _refused(body.id, problem.code, problem.message, status_in(problem))
    if reported.outcome == "conflict":
        clash = reports.conflict(reported.command)
        return _refused(body.id, clash.code, clash.message, reported.command.status)
    return ResultAnswer(id=body.id, ok=True, status=reported.command.status)


def _refused(id_: str | None, code: Code, message: str, status: Status | None) -> ResultAnswer:
    return ResultAnswer(id=id_, ok=False, status=status, error=Reason(code=code.value, message=message))


def _id_in(item: msgspec.Raw) -> str | None:
    """The id that a wrong report names, so that the device can tell which one it was."""
    try:
        value = _decode_any(item)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    id_ = value.get("id") if isinstance(value, dict) else None
    return id_[:_SHOWN_ID] if isinstance(id_, str) else None
