"""Every kind of optimizer and of merging: the same bits on any number of workers, and after a resume."""

from pathlib import Path

import pytest

from orbital_train.train.problem import Problem
from orbital_train.train.run import run_local
from orbital_train.train.spec import InnerSpec
from tests.unit.train.golden import CASES, Case
from tests.unit.train.problems import tiny_problem, tiny_spec
from tests.unit.train.thread_workers import Group
from tests.unit.train.traces import everything_trace

NODES = everything_trace().fleet_nodes
OTHERS = {
    Path("adafactor"): Case(everything_trace, InnerSpec(lr=1e-2, optimizer="Adafactor")),
    Path("micro_batches"): Case(everything_trace, InnerSpec(lr=1e-2, micro_batches=2)),
}


@pytest.mark.parametrize("path", [*CASES, *OTHERS], ids=lambda path: path.stem)
def test_no_bit_changes_with_the_number_of_workers_or_a_resume(path: Path) -> None:
    """Two workers are cut at every twelfth operation; one and four go on from there."""
    case = {**CASES, **OTHERS}[path]
    trace, spec = case.trace(), tiny_spec(inner=case.inner, outer=case.outer)

    def gpt() -> Problem:
        return tiny_problem(spec, NODES)

    whole = run_local(trace, spec, gpt())
    two = Group.of(trace, spec, gpt, 2)
    for cut in range(5, len(trace.ops), 12):
        two.run(spec, limit=cut)
        nodes, shared = two.saved()
        for workers in (1, 4):
            resumed = Group.of(trace, spec, gpt, workers)
            for executor in resumed.executors:
                executor.load(cut, nodes, shared)
            again, again_shared = resumed.saved()
            assert again.keys() == nodes.keys()
            for a, b in zip([*again.values(), again_shared], [*nodes.values(), shared], strict=True):
                assert a.meta == b.meta
                assert a.tensors.keys() == b.tensors.keys()
                assert all(a.tensors[name].equal(b.tensors[name]) for name in a.tensors)
            resumed.run(spec)
            assert {e.digest() for e in resumed.executors} == {whole.digest}, f"cut at {cut}, {workers} workers"
            before = [row for row in whole.rows if row["op"] < cut]
            assert before + resumed.all_rows() == list(whole.rows)
    two.run(spec)
    assert [e.digest() for e in two.executors] == [whole.digest] * 2
    assert two.all_rows() == list(whole.rows)
