"""Offers come in here, by whatever route. Each is refused, remembered, or known already."""

from rolltape.codes import Failure
from rolltape.recorder.check import check
from rolltape.recorder.heard import OfferHeard
from rolltape.recorder.journal import Entry
from rolltape.recorder.log import log
from rolltape.recorder.parts import Parts, failed
from rolltape.wire.claims import Claims, GrantRefused


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
        if entry is not None and not entry.dropped:
            return self._again(entry)
        if journal.is_full or self._parts.is_resetting:
            return False
        try:
            claims = check(self._parts, offer.grant_token)
            _same_command(offer, claims)
        except GrantRefused as refused:
            log(f"{offer.id}: refused, {refused.message}")
            self._parts.finish(offer.id, failed(refused.failure, refused.message))
            return True
        journal.take(_entry(offer, claims))
        self._parts.bells.obey.ring()
        return True

    def _again(self, entry: Entry) -> bool:
        """A command that is known: one in hand is in hand, one that has ended gets the same report again."""
        if entry.report is not None and entry.told:
            self._parts.journal.tell_again(entry.id)
            self._parts.bells.report.ring()
            return True
        return False


def _same_command(offer: OfferHeard, claims: Claims) -> None:
    if claims.jti != offer.id:
        raise GrantRefused(Failure.GRANT_INVALID, "the grant is another command's")


def _entry(offer: OfferHeard, claims: Claims) -> Entry:
    return Entry(id=claims.jti, token=offer.grant_token, seq=claims.seq, type=claims.type, exp=claims.exp)
