"""The gate, alone and as a consistent cut."""

import threading

from orbital_train.train.device import configure
from orbital_train.train.gate import Gate
from tests.unit.train.problems import tiny_problem, tiny_spec
from tests.unit.train.thread_workers import Group
from tests.unit.train.traces import everything_trace


def test_gate_leaves_at_the_limit() -> None:
    gate = Gate(limit=2, leave=True)
    assert [gate.enter(k) for k in range(3)] == [True, True, False]
    assert gate.position == 2


def test_gate_holds_before_the_next_operation_and_opens_again() -> None:
    gate, passed = Gate(start=5), []
    assert gate.enter(5)
    assert gate.hold() == 6  # operation 5 has started and will be done

    def work() -> None:
        for op_id in range(6, 9):
            if not gate.enter(op_id):
                return
            passed.append(op_id)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert gate.wait_done(6, timeout_s=10.0)
    assert passed == []
    gate.open_until(7)
    assert gate.wait_done(7, timeout_s=10.0)
    assert passed == [6]
    assert gate.position == 7
    assert not gate.wait_done(8, timeout_s=0.01)
    gate.open_until(8, leave=True)
    thread.join()
    assert passed == [6, 7]
    assert gate.hold() == 8


def test_gates_give_a_consistent_cut() -> None:
    """The largest position of all workers is the cut; both reach it, and both finish afterwards."""
    spec, trace = tiny_spec(), everything_trace()
    group = Group.of(trace, spec, lambda: tiny_problem(spec, trace.fleet_nodes), 2)
    gates = [Gate(limit=4), Gate(limit=11)]
    threads = [
        threading.Thread(target=lambda e=e, g=g: (configure(spec), e.run(g)), daemon=True)
        for e, g in zip(group.executors, gates, strict=True)
    ]
    for thread in threads:
        thread.start()
    gates[0].wait_done(4)
    cut = max(gate.hold() for gate in gates)
    for gate in gates:
        gate.open_until(cut)
    assert all(gate.wait_done(cut, timeout_s=30.0) for gate in gates)
    assert {e.position for e in group.executors} == {cut}
    for gate in gates:
        gate.open_until(None)
    for thread in threads:
        thread.join()
    assert group.executors[0].digest() == group.executors[1].digest()
