"""From a path to an operation."""

import pytest

from rolltape.web.router import Router


@pytest.fixture
def router() -> Router[str]:
    router: Router[str] = Router()
    for path in ("/v1/devices", "/v1/devices/stats", "/v1/devices/{device_id}", "/v1/devices/{device_id}/commands"):
        router.add("GET", path, path)
    router.add("POST", "/v1/devices", "create")
    return router


def test_an_exact_segment_wins_over_a_parameter(router: Router[str]) -> None:
    assert router.find("/v1/devices/stats") == ({"GET": "/v1/devices/stats"}, {})
    assert router.find("/v1/devices/dev_1") == ({"GET": "/v1/devices/{device_id}"}, {"device_id": "dev_1"})


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "//",
        "/v1",
        "/v1/",
        "/v1/devices/",
        "//v1/devices",
        "/v1//devices",
        "/v1/devices//commands",
        "/v1/devices/x/y",
        "/v1/devices/x/commands/",
        "v1/devices",
        "/V1/devices",
        "/v1/devices/stats/commands",
        "/v1/devices?x",
    ],
)
def test_only_whole_paths_match(router: Router[str], path: str) -> None:
    assert router.find(path) is None


def test_all_methods_of_a_path_are_found_together(router: Router[str]) -> None:
    assert router.find("/v1/devices") == ({"GET": "/v1/devices", "POST": "create"}, {})


def test_a_path_has_each_method_once(router: Router[str]) -> None:
    with pytest.raises(ValueError, match="there already"):
        router.add("GET", "/v1/devices", "again")


def test_a_parameter_has_one_name(router: Router[str]) -> None:
    with pytest.raises(ValueError, match="stands already"):
        router.add("GET", "/v1/devices/{id}", "again")
