"""What is remembered, so that nobody has to look: bounded, and the oldest first."""

import pytest

from rolltape.domain.principal import DevicePrincipal, Tenant
from rolltape.service import credentials
from rolltape.service.credentials import Credentials, KnownToken
from rolltape.store.sqlite.lulls import Lulls

TENANT = Tenant(1, "proj_mine", "test")


def _token(number: int, looked_at: float = 0.0) -> KnownToken:
    return KnownToken(DevicePrincipal(TENANT, f"dev_{number}", 1, number, ended=False), looked_at)


def _hash(number: int) -> bytes:
    return b"%032d" % number


def test_a_credential_that_is_looked_up_anew_is_not_the_oldest_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "MOST", 3)
    known = Credentials()
    for number in (1, 2, 3, 1, 4):
        known.keep(_hash(number), _token(number, looked_at=float(number)))
    assert [known.get(_hash(number), 4.0) is not None for number in (1, 2, 3, 4)] == [False, False, False, True]
    assert [known.get(_hash(number), float(number)) is not None for number in (1, 2, 3, 4)] == [True, False, True, True]


def test_what_was_looked_up_anew_is_forgotten_with_its_owner() -> None:
    known = Credentials()
    for looked_at in (0.0, 0.5, 0.9):
        known.keep(_hash(1), _token(1, looked_at))
        known.keep(_hash(2), _token(1, looked_at))
    known.forget("dev_1")
    assert known.get(_hash(1), 1.0) is None
    assert known.get(_hash(2), 1.0) is None
    known.forget("dev_1")


def test_lulls_are_bounded_and_a_forgotten_one_costs_only_a_look() -> None:
    lulls = Lulls(most=3)
    for device in "abc":
        lulls.began(device)
    lulls.ended("b")
    lulls.ended("never heard of")
    assert ["a" in lulls, "b" in lulls, "c" in lulls] == [True, False, True]
    lulls.began("d")
    lulls.began("e")
    assert len(lulls) == 1
    assert "e" in lulls
