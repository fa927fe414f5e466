"""The statistics of the convergence table, what is kept of its runs, and the traces that it trains."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from orbital_train.report.seeds import Paired, paired
from orbital_train.schedule.ops.merging import Merge, Snapshot
from orbital_train.schedule.ops.nodes import Adopt
from scripts.convergence.arms import Arm, Claim, calibration, claims
from scripts.convergence.results import TUNING_SEEDS, Results
from scripts.convergence.runs import dropping, trace_of
from scripts.convergence.table import markdown, verdict

ARM = Arm(name="local", values={"schedule.budget_steps": 240})
BASE = Arm(name="parallel", values={"schedule.budget_steps": 240, "schedule.policy": "fully_connected"}, outer=False)
CLAIM = Claim(key="k", text="local against parallel", arm=ARM, against=BASE, target=0.02)


def filled(path: Path, arm: Arm, best: int, losses: list[float]) -> Results:
    """Results in which point number ``best`` wins, and was run with seeds 0, 1, …"""
    results = Results(path)
    for k, point in enumerate(arm.grid):
        for seed in TUNING_SEEDS:
            results.add(arm, run(point, seed, 2.0 if k == best else 3.0 + k))
    for seed, loss in enumerate(losses):
        results.add(arm, run(arm.grid[best], seed, loss))
    return results


def run(point: dict[str, float], seed: int, loss: float) -> dict[str, object]:
    return {"point": point, "seed": seed, "loss": loss, "link_bytes": 10.0 if len(point) > 1 else 300.0, "wall_s": 1.0}


def test_interval_is_students_t_of_paired_relative_differences():
    """Differences of 1, 2 and 3 %: t of 97.5 % with two degrees of freedom is 4.3027."""
    found = paired({0: 1.01, 1: 2.04, 2: 4.12, 7: 9.0}, {2: 4.0, 0: 1.0, 1: 2.0})
    assert found is not None
    assert found.mean == pytest.approx(0.02)
    assert found.half_width == pytest.approx(4.302653 * 0.01 / math.sqrt(3))
    assert found.seeds == 3


@pytest.mark.parametrize(
    ("mean", "half_width", "expected"),
    [
        (0.010, 0.005, "yes"),
        (0.018, 0.005, "the mean does"),
        (0.022, 0.005, "the mean does not"),
        (0.030, 0.005, "no"),
        (0.010, None, "one seed"),
    ],
)
def test_verdict_asks_for_the_whole_interval(mean: float, half_width: float | None, expected: str):
    assert verdict(Paired(mean=mean, half_width=half_width, seeds=3), 0.02) == expected
    assert verdict(Paired(mean=mean, half_width=half_width, seeds=3), None) == "–"


def test_results_are_kept_and_seeds_of_the_grid_do_not_judge(tmp_path: Path):
    filled(tmp_path / "r.json", ARM, best=4, losses=[1.0, 1.5])
    again = Results(tmp_path / "r.json")
    best = again.best(ARM)
    assert best is not None
    assert best.point == ARM.grid[4]
    assert again.has(ARM, ARM.grid[4], 1)
    assert not again.has(ARM, ARM.grid[4], 2)
    assert again.judged(ARM) == {0: 1.0, 1: 1.5}


def test_results_of_an_arm_that_has_changed_since_do_not_count(tmp_path: Path):
    results = filled(tmp_path / "r.json", ARM, best=0, losses=[1.0])
    changed = replace(ARM, values={"schedule.budget_steps": 480})
    assert results.runs(changed) == []
    assert results.best(changed) is None


def test_there_is_no_best_point_before_the_whole_grid_was_run(tmp_path: Path):
    results = Results(tmp_path / "r.json")
    results.add(ARM, run(ARM.grid[0], TUNING_SEEDS[0], 2.0))
    assert results.best(ARM) is None


def test_a_run_that_diverged_is_never_the_best(tmp_path: Path):
    results = filled(tmp_path / "r.json", BASE, best=1, losses=[])
    results.add(BASE, run(BASE.grid[1], TUNING_SEEDS[0], math.nan))
    best = results.best(BASE)
    assert best is not None
    assert best.point == BASE.grid[0]


def test_the_table_has_claim_target_and_grid(tmp_path: Path):
    filled(tmp_path / "r.json", ARM, best=4, losses=[1.0, 1.01, 1.02])
    results = filled(tmp_path / "r.json", BASE, best=0, losses=[1.0, 1.0, 1.0])
    lines = markdown([CLAIM], results).splitlines()
    assert lines[2] == (
        "| local against parallel | ≤ +2.0% | +1.00 ± 2.48 % | 3 | 1.0100 | 1.0000 | 30 × | the mean does |"
    )
    assert next(line for line in lines if line.startswith("| parallel")).startswith("| parallel * | **2.0000** | – |")
    assert next(line for line in lines if line.startswith("| local |")).count("**2.0000**") == 1


def test_what_cannot_be_run_is_named_with_the_reason(tmp_path: Path):
    broken = replace(CLAIM, arm=Arm(name="x", values={"schedule.policy": "telepathy"}))
    line = markdown([broken], Results(tmp_path / "r.json")).splitlines()[2]
    assert "skipped: schedule.policy = 'telepathy': " in line


def test_arms_of_one_name_are_one_arm():
    """A name is where results are kept."""
    arms = [arm for claim in (*claims(1.0), *calibration(1.0)) for arm in (claim.arm, claim.against)]
    assert len({arm.name for arm in arms}) == len(set(arms))
    by_name = {arm.name: arm for arm in arms}
    assert all(by_name[arm.name] == arm for arm in arms)


def test_half_of_the_contributions_are_lost_and_their_nodes_go_on():
    eight = {"fleet.satellites": 8, "fleet.planes": 8, "schedule.budget_steps": 8 * 30 * 25}
    whole = trace_of(Arm(name="whole", values=eight))
    lossy = dropping(whole, 0.5)
    heard = [len(merge.contributions) for merge in lossy.of_kind(Merge)]
    assert 0.4 < sum(heard) / (8 * len(heard)) < 0.6
    assert min(heard) >= 1
    assert len(list(lossy.of_kind(Snapshot))) == sum(heard)
    assert [op.id for op in lossy.ops] == list(range(len(lossy.ops)))
    for merge in lossy.of_kind(Merge):
        assert merge.input_weights == pytest.approx([1 / len(merge.inputs)] * len(merge.inputs))
        takers = {op.node for op in lossy.of_kind(Adopt) if op.version == merge.to_version}
        assert takers <= {c.node for c in merge.contributions}


def test_slow_nodes_train_at_half_the_speed():
    """Dynamic local updates: they contribute as often, with half the steps."""
    values = {"schedule.policy": "asynchronous", "schedule.budget_steps": 4 * 60 * 20}
    trace = trace_of(Arm(name="a", values=values, slow_nodes=2))
    steps = [account.steps for account in trace.accounts]
    assert steps[2] / steps[0] == pytest.approx(0.5, abs=0.05)
    assert trace.merged_steps >= trace.budget_steps
