"""Offers come in here, by whatever route. Each is refused, remembered, or known already."""

from rolltape.codes import Failure
from rolltape.recorder.check import authentic, check
from rolltape.recorder.heard import OfferHeard
from rolltape.recorder.journal import Entry, text_of
from rolltape.recorder.log import log
from rolltape.recorder.parts import Parts, failed
from rolltape.wire.claims import Claims, GrantRefused

ABOUT_THE_COMMAND = frozenset({Failure.SUPERSEDED, Failure.UNSUPPORTED_TYPE})
"""Of what a grant from the air is refused for, what the server is told."""


class Intake:
    """Takes offers; rings the bell for what has to be done about them."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def take(self, offers: list[OfferHeard]) -> int:
        """Look at each offer; answers how many were news."""
        return sum(self._one(offer) for offer in offers)

    def _one(self, offer: OfferHeard) -> bool:
        journal = self._parts.journal
        entry = journal.get(offer.id)
        if entry is not None and not entry.dropped and not (entry.is_open and entry.came_by_air):
            return self._again(entry)  # a grant of its own connection lives longer than one from the air
        if entry is not None and self._parts.replay.record.used(entry.seq):
            return False  # it has begun, or it is an offer from before the no-go: there is nothing to be said of it
        if journal.is_full or self._parts.is_resetting:
            return False
        try:
            claims = check(self._parts, offer.grant_token)
            _same_command(offer, claims)
        except GrantRefused as refused:
            log(f"{offer.id}: refused, {refused.message}")
            self._parts.finish(offer.id, failed(refused.failure, refused.message))
            return True
        self._take(offer.grant_token, claims)
        return True

    def take_from_air(self, cwt: bytes) -> None:
        """Look at a grant that a relay brought. Raises GrantRefused, and BlockingIOError where there is no more room.

        What is reported of a command must be about the command: a grant that came too late, or once more, says
        nothing about it, because the server makes a new one for each relay that asks.
        """
        claims = authentic(self._parts, cwt)
        entry = self._parts.journal.get(claims.jti)
        if entry is not None and entry.report is not None:
            self._again(entry)
            return
        if self._parts.journal.is_full or self._parts.is_resetting:
            raise BlockingIOError("no more commands now")
        try:
            check(self._parts, cwt, time_may_come=True)
        except GrantRefused as refused:
            if refused.failure in ABOUT_THE_COMMAND:
                self._parts.finish(claims.jti, failed(refused.failure, refused.message))
            raise
        self._take(cwt, claims)

    def _take(self, grant: str | bytes, claims: Claims) -> None:
        entry = Entry(
            id=claims.jti, token=text_of(grant), seq=claims.seq, type=claims.type, exp=claims.exp, gen=claims.gen
        )
        self._parts.journal.take(entry)
        self._parts.bells.obey.ring()

    def _again(self, entry: Entry) -> bool:
        """A command that is known: one in hand is in hand, one that has ended gets the same report again."""
        if entry.report is not None and entry.told:
            self._parts.journal.tell_again(entry.id)
            self._parts.bells.report.ring()
            self._parts.bells.air.ring()
            return True
        return False


def _same_command(offer: OfferHeard, claims: Claims) -> None:
    if claims.jti != offer.id:
        raise GrantRefused(Failure.GRANT_INVALID, "the grant is another command's")
