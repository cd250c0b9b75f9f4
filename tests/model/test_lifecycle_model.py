"""Random lives of commands on the real server, held against the rules said a second time."""

from pathlib import Path

import pytest
from hypothesis import seed
from hypothesis.stateful import run_state_machine_as_test

from tests.model.machine import Lives, profile
from tests.model.world import open_world


@pytest.mark.parametrize("start", [1, 2])
def test_server_and_model_never_differ(tmp_path: Path, start: int) -> None:
    with open_world(tmp_path) as world:
        lives = seed(start)(type("Lives", (Lives,), {"world": world}))
        run_state_machine_as_test(lives, settings=profile(60, 40))
