"""The promises of `rolltape.store.base` as tests that any store must pass, unchanged.

    class TestMyStore(StoreSuite):
        def make_store(self, folder):
            return open_my_store(folder)   # an async context manager that yields a Ready

Every test gets a folder of its own, opens the store in it, and speaks to it through its protocol alone.
"""

from rolltape.testing.store_suite.accounts import AccountPromises
from rolltape.testing.store_suite.bindings import BindingPromises
from rolltape.testing.store_suite.commands import CommandPromises
from rolltape.testing.store_suite.expiry import ExpiryPromises
from rolltape.testing.store_suite.house import House, Ready
from rolltape.testing.store_suite.lists import ListPromises
from rolltape.testing.store_suite.news import NewsPromises
from rolltape.testing.store_suite.offers import OfferPromises
from rolltape.testing.store_suite.recordings import RecordingPromises
from rolltape.testing.store_suite.relays import RelayPromises
from rolltape.testing.store_suite.reports import ReportPromises
from rolltape.testing.store_suite.retention import RetentionPromises
from rolltape.testing.store_suite.states import StatePromises
from rolltape.testing.store_suite.tokens import TokenPromises


class StoreSuite(
    CommandPromises,
    ReportPromises,
    OfferPromises,
    NewsPromises,
    ExpiryPromises,
    BindingPromises,
    TokenPromises,
    ListPromises,
    StatePromises,
    RecordingPromises,
    RelayPromises,
    RetentionPromises,
    AccountPromises,
):
    """All promises. Name a subclass `Test…` and give it `make_store`."""


__all__ = ["House", "Ready", "StoreSuite"]
