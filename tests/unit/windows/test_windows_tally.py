"""Contacts counted in memory, and from the end of their file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from orbital_train.windows.nearest import NearestLinks
from orbital_train.windows.plan import ContactPlan
from orbital_train.windows.tally import Tally, tally_file, tally_plan
from orbital_train.windows.writer import write_contacts

NODES, HORIZON_S = 9, 1000.0
NAMES = tuple(f"n{i}" for i in range(NODES))


def links(rng: np.random.Generator, count: int) -> NearestLinks:
    """Links at any time, that share nodes and overlap."""
    a, b = np.sort(np.stack([rng.permutation(NODES)[:2] for _ in range(count)]), axis=1).T
    start_s, end_s = np.sort(rng.uniform(0.0, HORIZON_S, (count, 2)), axis=1).T
    zero = np.zeros(count, dtype=np.int64)
    return NearestLinks(
        link_id=np.argsort(np.argsort(start_s)), a=a, b=b, terminal_a=zero, terminal_b=zero, acquire_start_s=start_s,
        start_s=start_s, end_s=end_s, range_m=np.full(count, 1e6),
    )  # fmt: skip


def written(path: Path, found: NearestLinks, parts: int) -> tuple[Tally, Tally]:
    """Counted from the file, which was written in so many parts, and from memory."""
    which = np.array_split(np.argsort(found.end_s), parts)
    shuffled = (found.only(np.random.default_rng(0).permutation(rows)) for rows in which)
    write_contacts(path, shuffled, node_names=NAMES, horizon_s=HORIZON_S, rate_bps=1e9)
    return tally_file(path, NODES, HORIZON_S), tally_plan(ContactPlan.read(path))


@pytest.mark.parametrize("count", [0, 1, 40])
@pytest.mark.parametrize("parts", [1, 5])
def test_a_file_is_counted_as_the_plan_that_it_holds(tmp_path: Path, count: int, parts: int) -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        found = links(rng, count) if count else links(rng, 1).only(np.empty(0, dtype=np.int64))
        streamed, whole = written(tmp_path / "plan", found, parts)
        assert streamed.contacts == whole.contacts == 2 * count
        assert streamed.lengths.tolist() == whole.lengths.tolist()
        assert streamed.linked.contacts.tolist() == whole.linked.contacts.tolist()
        np.testing.assert_allclose(streamed.linked.duty, whole.linked.duty, atol=1e-12)
        np.testing.assert_allclose(streamed.linked.open_links, whole.linked.open_links, atol=1e-12)


def test_lengths_are_those_that_a_share_of_the_contacts_does_not_exceed(tmp_path: Path) -> None:
    rows = np.arange(4)
    found = links(np.random.default_rng(0), 4).only(rows)
    length_s = np.array([10.5, 20.0, 30.9, 999.9])
    exact = NearestLinks(**{**vars(found), "start_s": np.zeros(4), "end_s": length_s})
    for tally in written(tmp_path / "plan", exact, 1):
        shares = (0.0, 0.25, 0.26, 0.5, 0.75, 0.76, 1.0)
        assert [tally.length_s(x) for x in shares] == [10.0, 10.0, 20.0, 20.0, 30.0, 999.0, 999.0]
