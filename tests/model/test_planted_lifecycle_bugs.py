"""Each rule of the lifecycle, broken on purpose: the comparison with the model must notice, every time.

A plant is one changed line of the server; a story is a short life in which it matters. Every story passes on the server
as it is, so what a planted one raises is the plant.
"""

from pathlib import Path

import pytest
from hypothesis import seed
from hypothesis.stateful import run_state_machine_as_test

from tests.model import plants_time, plants_word
from tests.model.machine import Lives, profile
from tests.model.pair import Difference, Pair
from tests.model.planting import Plant
from tests.model.stories import STORIES, Story
from tests.model.world import open_world

PLANTS = plants_word.PLANTS + plants_time.PLANTS


def _live(pair: Pair, story: Story) -> None:
    story(pair)
    pair.check()
    pair.check_history()


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_the_server_as_it_is_lives_every_story(tmp_path: Path, story: Story) -> None:
    with open_world(tmp_path) as world:
        pair = Pair(world)
        pair.bind()
        _live(pair, story)


@pytest.mark.parametrize("planted", PLANTS, ids=lambda planted: f"rule {planted.rule}: {planted.name}")
def test_a_planted_bug_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planted: Plant) -> None:
    with open_world(tmp_path) as world:
        pair = Pair(world)
        pair.bind()
        planted.plant(monkeypatch)
        with pytest.raises(Difference):
            _live(pair, planted.story)
        monkeypatch.undo()


RANDOM = tuple(next(plant for plant in PLANTS if plant.rule == rule) for rule in range(1, 8))


@pytest.mark.parametrize("planted", RANDOM, ids=lambda planted: f"rule {planted.rule}: {planted.name}")
def test_random_lives_meet_a_planted_bug_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planted: Plant) -> None:
    with open_world(tmp_path) as world:
        lives = seed(3)(type("Lives", (Lives,), {"world": world}))
        planted.plant(monkeypatch)
        with pytest.raises(Difference):
            run_state_machine_as_test(lives, settings=profile(400, 40, shrink=False))
        monkeypatch.undo()


def test_every_rule_has_a_plant() -> None:
    assert {plant.rule for plant in PLANTS} == set(range(1, 8))
