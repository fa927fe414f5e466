from pathlib import Path

import pytest

from orbital_train.report.runs import Run, read_run
from orbital_train.report.view import readable_view
from tests.unit.report import synthetic


def ring_run(path: Path, nodes: int, budget_steps: int) -> Run:
    horizon_s = 60 * synthetic.ORBIT_S
    plan, sun = synthetic.contacts(nodes, horizon_s), synthetic.light(nodes, horizon_s)
    trace = synthetic.simulate(synthetic.Ring(nodes, True, budget_steps, 10), plan, sun)
    synthetic.write_run(path, trace, plan, sun, "link_aware", 0, False)
    return read_run(path)


def test_a_short_run_of_a_few_nodes_is_shown_whole(tmp_path: Path):
    run = ring_run(tmp_path / "run", 3, 300)
    view = readable_view(run)
    assert view.nodes == (0, 1, 2)
    assert view.end_s == run.trace.end_us / 1e6
    assert view.words == "The whole run, all nodes."


def test_a_long_run_is_cut_at_a_whole_orbit(tmp_path: Path):
    view = readable_view(ring_run(tmp_path / "run", 3, 4_000))
    assert not view.whole
    assert view.orbits is not None
    assert view.end_s == pytest.approx(round(view.orbits) * synthetic.ORBIT_S)
    assert f"({round(view.orbits)} orbits), all nodes." in view.words


def test_a_large_fleet_is_sampled_and_that_is_said(tmp_path: Path):
    view = readable_view(ring_run(tmp_path / "run", 30, 600))
    assert len(view.nodes) == 12
    assert (view.nodes[0], view.nodes[-1]) == (0, 29)
    assert "12 of 30 nodes, evenly chosen." in view.words
