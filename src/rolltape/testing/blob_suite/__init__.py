"""The promises of `rolltape.store.blobs` as tests that any blob store must pass, unchanged.

    class TestMyStore(PassageSuite):          # or LinkSuite, for a store with links
        def make_store(self, folder, *, max_bytes=10**9):
            return my_store(folder)           # the same folder again: the same blobs

Every test gets a folder of its own, opens the store in it, and speaks to it through its protocol alone; links by HTTP.
"""

from rolltape.testing.blob_suite.links import LinkSuite
from rolltape.testing.blob_suite.passage import PassageSuite

__all__ = ["LinkSuite", "PassageSuite"]
