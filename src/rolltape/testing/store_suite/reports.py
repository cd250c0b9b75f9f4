"""Acknowledgements and reports: who may speak, what lands, what stands. See CommandStore."""

import asyncio
from dataclasses import replace

from msgspec import structs

from rolltape.codes import Code, Problem
from rolltape.testing.store_suite.house import EXECUTED, FAILED, NOW, House, Promises, by_a_relay, on_a_store, refused


class ReportPromises(Promises):
    """What a device can rely on."""

    @on_a_store
    async def test_an_acknowledgement_is_go_and_may_be_repeated(self, at: House) -> None:
        row = await at.create(await at.device())
        first = await at.acknowledge(row, now=NOW + 5)
        again = await at.acknowledge(row, evidence="relay", now=NOW + 9)
        assert (first.status, first.delivered_at, first.evidence) == ("delivered", NOW + 5, "device")
        assert again == first
        assert await at.history(row) == [("created", None), ("delivered", "pending")]

    @on_a_store
    async def test_a_cancelled_or_finished_command_is_no_go(self, at: House) -> None:
        device = await at.device()
        cancelled, done = await at.create(device), await at.create(device)
        await at.cancel(cancelled)
        await at.report(done)
        for row, status in ((cancelled, "cancelled"), (done, "executed")):
            problem = await refused(Code.COMMAND_NO_GO, at.acknowledge(row))
            assert problem.details is not None
            assert problem.details["status"] == status

    @on_a_store
    async def test_a_start_older_than_a_stop_is_no_go_though_it_is_delivered(self, at: House) -> None:
        device = await at.device()
        old = await at.create(device)
        await at.acknowledge(old)
        stop = await at.create(device, "stop_recording")
        await refused(Code.COMMAND_NO_GO, at.acknowledge(old))
        assert (await at.acknowledge(stop)).status == "delivered"
        assert (await at.acknowledge(await at.create(device))).status == "delivered"

    @on_a_store
    async def test_a_token_speaks_for_its_own_binding_alone(self, at: House) -> None:
        device = await at.device()
        row = await at.create(device)
        await refused(Code.NOT_FOUND, at.acknowledge(row, generation=2))
        await refused(Code.NOT_FOUND, at.report(row, generation=2))
        assert (await at.report(row, generation=1)).command.status == "executed"

    @on_a_store
    async def test_a_cancellation_and_an_acknowledgement_at_once_have_one_winner(self, at: House) -> None:
        device = await at.device()
        for _ in range(10):
            row = await at.create(device)
            answers = await asyncio.gather(at.cancel(row), at.acknowledge(row), return_exceptions=True)
            assert sum(isinstance(answer, Problem) for answer in answers) == 1
            assert len(await at.history(row)) == 2

    @on_a_store
    async def test_a_report_without_an_acknowledgement_counts_as_both_in_one_event(self, at: House) -> None:
        row = await at.create(await at.device())
        landed = (await at.report(row, now=NOW + 7)).command
        assert (landed.status, landed.delivered_at, landed.reported_at) == ("executed", NOW + 7, NOW + 7)
        assert await at.history(row) == [("created", None), ("executed", "pending")]

    @on_a_store
    async def test_a_report_lands_on_what_the_server_had_closed_by_itself(self, at: House) -> None:
        device = await at.device()
        cancelled, expired = await at.create(device), await at.create(device, ttl=1)
        await at.cancel(cancelled)
        assert (await at.get(expired, NOW + 1000)).status == "expired"
        for row, before in ((cancelled, "cancelled"), (expired, "expired")):
            reported = await at.report(row, now=NOW + 2000)
            assert (reported.command.status, reported.command.error_code) == ("executed", None)
            assert (await at.history(row))[-1] == ("executed", before)

    @on_a_store
    async def test_an_equal_report_changes_nothing_and_is_no_event(self, at: House) -> None:
        row = await at.create(await at.device())
        first = await at.report(row, FAILED)
        again = await at.report(row, FAILED, now=NOW + 50)
        weaker = await at.report(row, by_a_relay(FAILED))
        assert again == weaker == structs.replace(first, unbound=False)
        assert len(await at.history(row)) == 2

    @on_a_store
    async def test_a_different_report_conflicts_and_the_first_stands(self, at: House) -> None:
        row = await at.create(await at.device())
        first = (await at.report(row, replace(EXECUTED, result='{"a":1}'))).command
        for word in (EXECUTED, replace(EXECUTED, result='{"a":2}'), FAILED, by_a_relay(FAILED)):
            reported = await at.report(row, word)
            assert (reported.outcome, reported.command) == ("conflict", first)
        assert await at.get(row) == first

    @on_a_store
    async def test_stronger_evidence_of_the_same_is_noted_without_an_event(self, at: House) -> None:
        row = await at.create(await at.device())
        await at.report(row, by_a_relay(EXECUTED))
        assert (await at.report(row, EXECUTED)).command.evidence == "device"
        assert (await at.get(row)).evidence == "device"
        assert len(await at.history(row)) == 2

    @on_a_store
    async def test_stronger_evidence_of_something_else_replaces_with_an_event(self, at: House) -> None:
        row = await at.create(await at.device())
        await at.report(row, by_a_relay(FAILED))
        reported = await at.report(row, EXECUTED, now=NOW + 3)
        assert (reported.outcome, reported.command.status, reported.command.error_code) == (
            "accepted",
            "executed",
            None,
        )
        signed = await at.report(row, replace(FAILED, evidence="device_signed"))
        assert signed.command.status == "failed"
        assert [before for _, before in await at.history(row)] == [None, "pending", "failed", "executed"]

    @on_a_store
    async def test_two_different_words_at_once_leave_one_standing(self, at: House) -> None:
        row = await at.create(await at.device())
        both = await asyncio.gather(at.report(row, EXECUTED), at.report(row, FAILED))
        assert sorted(reported.outcome for reported in both) == ["accepted", "conflict"]
        assert both[0].command == both[1].command == await at.get(row)
