"""The suite runs on a virtual radio; `--ble-adapter` and `--ble-peripheral` point it at two real adapters."""

from collections.abc import Iterator

import pytest

from tests.ble.air import MTUS, Air, RealAir, VirtualAir


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--ble-adapter", help="the adapter of bleak's own backend, like hci0")
    parser.addoption("--ble-peripheral", help="the recorder's adapter, as bumble names transports, like usb:0")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "virtual_only: needs a radio that the test holds")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "air" in metafunc.fixturenames:
        is_real = metafunc.config.getoption("--ble-adapter", None) is not None
        mtus = [0] if is_real else MTUS
        metafunc.parametrize("air", mtus, indirect=True, ids=["real" if is_real else f"mtu{mtu}" for mtu in mtus])


@pytest.fixture
def air(request: pytest.FixtureRequest) -> Iterator[Air]:
    adapter = request.config.getoption("--ble-adapter", None)
    if adapter is None:
        yield VirtualAir(request.param)
        return
    peripheral = request.config.getoption("--ble-peripheral", None)
    if peripheral is None:
        raise pytest.UsageError("--ble-adapter needs --ble-peripheral, a second adapter, like usb:0")
    if request.node.get_closest_marker("virtual_only"):
        pytest.skip("takes a radio that the test holds")
    yield RealAir(adapter, peripheral)
