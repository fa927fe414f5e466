from __future__ import annotations

import numpy as np
import pytest

from orbital_train.errors import InputError
from orbital_train.orbit.selection import Selection, in_planes, named, renumbered

NAMES = ("A-1", "B-1", "A-2", "A-3")
PLANE = np.array([0, 0, 1, 1, 2, 2])


def test_names_fit_any_pattern() -> None:
    assert named(Selection(), NAMES).tolist() == [0, 1, 2, 3]
    assert named(Selection(names=("A-*",)), NAMES).tolist() == [0, 2, 3]
    assert named(Selection(names=("A-?", "B-1")), NAMES).tolist() == [0, 1, 2, 3]
    assert named(Selection(names=("A-2", "B*")), NAMES).tolist() == [1, 2]


def test_planes_and_limits() -> None:
    assert in_planes(Selection(), PLANE).tolist() == [0, 1, 2, 3, 4, 5]
    assert in_planes(Selection(only_planes=(2, 0)), PLANE).tolist() == [0, 1, 4, 5]
    assert in_planes(Selection(only_planes=(2, 0), limit=3), PLANE).tolist() == [0, 1, 4]
    assert in_planes(Selection(limit=9), PLANE).tolist() == [0, 1, 2, 3, 4, 5]
    assert in_planes(Selection(limit=3, spread=True), PLANE).tolist() == [0, 2, 4]
    assert in_planes(Selection(limit=4, spread=True), PLANE).tolist() == [0, 1, 3, 4]


@pytest.mark.parametrize(
    ("selection", "told"),
    [
        (
            Selection(names=("A-2", "X*")),
            "fleet.names = 'X*': no satellite has a name like this; they look like 'A-1'",
        ),
        (
            Selection(only_planes=(0, 7)),
            "fleet.only_planes = [0, 7]: no satellite is in plane 7; they are numbered 0 to 2",
        ),
        (Selection(limit=0), "fleet.limit = 0: accepted is 1 or more"),
    ],
)
def test_bad_selections_are_refused(selection: Selection, told: str) -> None:
    with pytest.raises(InputError) as caught:
        in_planes(selection, PLANE[named(selection, (*NAMES, "C", "D"))])
    assert str(caught.value) == told


def test_renumbering_closes_gaps_and_keeps_the_order() -> None:
    plane, slot = renumbered(np.array([7, 3, 3, 7, 3]), np.array([5, 9, 2, 1, 4]))
    assert plane.tolist() == [1, 0, 0, 1, 0]
    assert slot.tolist() == [1, 2, 0, 0, 1]
