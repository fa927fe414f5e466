"""Every algorithm, every optimizer and way of merging: the same bits on any number of workers, and after a resume.

Those of the plain traces are in ``test_train_workers.py``, and those of codecs in ``test_train_feedback.py``.
"""

from itertools import cycle

import pytest

from orbital_train.train.optimizers import optimizer_names
from orbital_train.train.packing import pack, unpack
from orbital_train.train.problem import Problem
from orbital_train.train.run import run_local
from orbital_train.train.spec import InnerSpec
from orbital_train.train.state import Saved
from tests.unit.train.algorithms import quorum_trace
from tests.unit.train.golden import CASES, Case
from tests.unit.train.problems import tiny_problem, tiny_spec
from tests.unit.train.thread_workers import Group
from tests.unit.train.traces import everything_trace

ELSEWHERE = {"two_parameters", "two_fragments", "failures", "gossip", "groups"}
GOLDEN = {path.stem: case for path, case in CASES.items() if path.stem not in ELSEWHERE and "codec" not in path.stem}
OTHERS = {
    "micro_batches": Case(everything_trace, InnerSpec(lr=1e-2, micro_batches=2)),
    **{name: Case(quorum_trace, InnerSpec(lr=1e-2, optimizer=name)) for name in optimizer_names()},
}


def in_files(nodes: dict[int, Saved], shared: Saved) -> tuple[dict[int, Saved], Saved]:
    """State as it comes back from the files of a checkpoint."""
    return {node: unpack(pack(saved)) for node, saved in nodes.items()}, unpack(pack(shared))


@pytest.mark.parametrize("name", [*GOLDEN, *OTHERS])
def test_no_bit_changes_with_the_number_of_workers_or_a_resume(name: str) -> None:
    """Two workers are cut at every twelfth operation; one and four go on from there by turns."""
    case = {**GOLDEN, **OTHERS}[name]
    trace, spec = case.trace(), tiny_spec(inner=case.inner, outer=case.outer)

    def gpt() -> Problem:
        return tiny_problem(spec, trace.fleet_nodes)

    whole = run_local(trace, spec, gpt())
    two = Group.of(trace, spec, gpt, 2)
    for cut, workers in zip(range(5, len(trace.ops), 12), cycle((1, 4)), strict=False):
        two.run(spec, limit=cut)
        nodes, shared = in_files(*two.saved())
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
