"""What must be true of a trace, told once more from the scenario alone: slowly, and without the validator."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict

import pytest

from orbital_train.schedule.ops.merging import Contribution, GroupSnapshot, Merge, Mix, Rebase, Snapshot
from orbital_train.schedule.ops.nodes import Adopt, Lose, Restore, Step
from orbital_train.schedule.scenario import Scenario
from orbital_train.schedule.trace import Trace
from orbital_train.schedule.transfers import Transfer
from orbital_train.schedule.values import GLOBAL

US_PER_H = 3.6e9

Taken = dict[str, tuple[Snapshot | GroupSnapshot, int]]  # outer gradients; and how far their nodes were then


# -- links ---


def assert_within_contacts(trace: Trace, scenario: Scenario) -> None:
    """Every transfer is inside its contact, and carries no more than the rate allows; light takes its time."""
    plan = scenario.contacts
    for t in trace.transfers:
        c = t.contact
        assert (t.source, t.dest) == (plan.source[c], plan.dest[c])
        assert plan.start_s[c] * 1e6 <= t.start_us <= t.end_us <= plan.end_s[c] * 1e6
        if math.isfinite(plan.rate_bps[c]):
            assert 0 <= t.bits * 1e6 <= plan.rate_bps[c] * (t.end_us - t.start_us) * (1 + 1e-12)
        assert plan.owlt_s[c] * 1e6 <= t.owlt_us < plan.owlt_s[c] * 1e6 + 1


def assert_terminals_have_one_link_at_a_time(trace: Trace, scenario: Scenario) -> None:
    """No terminal sends two messages at once, hears two at once, or is on two links at once: looked at pair by pair."""
    plan = scenario.contacts
    used: dict[tuple[int, int], list[tuple[Transfer, bool]]] = defaultdict(list)
    for t in trace.transfers:
        if t.start_us < t.end_us:
            used[t.source, int(plan.source_terminal[t.contact])].append((t, True))
            used[t.dest, int(plan.dest_terminal[t.contact])].append((t, False))
    for here in used.values():
        for (a, a_sends), (b, b_sends) in itertools.combinations(here, 2):
            at_once = a.start_us < b.end_us and b.start_us < a.end_us
            both_ways = a_sends != b_sends and plan.link_id[a.contact] == plan.link_id[b.contact]
            assert not at_once or both_ways, (a, b)


# -- energy ---


def assert_energy_adds_up(trace: Trace, scenario: Scenario) -> None:
    """Each battery, integrated again from light, idle load, training and transmissions, is as the trace has it.

    A step that was cut short is in no operation: where none covers a stretch the node may have trained or not.
    """
    power = scenario.power
    if power is None:
        return
    for node in scenario.training_nodes:
        account = trace.accounts[node]
        steps = [(op.start_us, op.end_us) for op in trace.of_kind(Step) if op.node == node]
        sends = [(t.start_us, t.end_us) for t in trace.transfers if t.source == node and t.end_us > t.start_us]
        light = list(zip(scenario.light.edge_s[node].tolist(), scenario.light.fraction[node].tolist(), strict=False))
        points = list(zip(account.battery_us, account.battery_wh, strict=True))
        assert points[0] == (0, power.battery_wh)
        assert points[-1][0] == trace.end_us
        for (start_us, before_wh), (end_us, after_wh) in itertools.pairwise(points):
            assert 0.0 <= after_wh <= power.battery_wh
            inside_us = (start_us + end_us) / 2
            fraction = next(f for edge_s, f in reversed(light) if math.ceil(edge_s * 1e6) <= inside_us)
            supply_w = power.array_w(scenario.light.sun_distance_au) * fraction
            sending = sum(a <= inside_us < b for a, b in sends)
            trains = any(a <= inside_us < b for a, b in steps)
            cuts_us = {t for interval in (*sends, *steps) for t in interval if start_us < t < end_us}
            assert not cuts_us - {t for step in steps for t in step}, "the load changes in between"
            wh = [
                _after_wh(scenario, before_wh, supply_w, sending, training, (end_us - start_us) / US_PER_H)
                for training in ((True,) if trains else (False, True))
            ]
            assert any(after_wh == pytest.approx(one, rel=1e-9, abs=1e-9) for one in wh), (node, start_us, after_wh, wh)
            if trains:
                assert min(before_wh, after_wh) >= power.floor_wh - 1e-6 or supply_w >= power.idle_w + power.train_w


def _after_wh(
    scenario: Scenario, before_wh: float, supply_w: float, sending: int, training: bool, hours: float
) -> float:
    """What a battery holds after a while of constant supply and load."""
    power = scenario.power
    assert power is not None
    surplus_w = supply_w - power.idle_w - power.train_w * training - power.transmit_w * sending
    into_wh = hours * surplus_w * (power.charge_efficiency if surplus_w > 0 else 1 / power.discharge_efficiency)
    return min(power.battery_wh, max(0.0, before_wh + into_wh))


# -- what is merged ---


def assert_contributions_are_real(trace: Trace, scenario: Scenario) -> None:
    """Every contribution was taken before, of steps that its node had trained and that no other holds, and is as old
    as is said: the versions between are counted. In gossip a node keeps what is not mixed, but for what it loses."""
    trained = dict.fromkeys(scenario.training_nodes, 0)
    taken: Taken = {}
    parent: dict[tuple[int, int], int] = {}
    adopted: dict[tuple[int, int], int] = defaultdict(int)
    shared: dict[tuple[int, int], set[int]] = defaultdict(set)  # steps of nodes that others have mixed in
    anew = dict.fromkeys(scenario.training_nodes, (0, 0))  # when they did that last, and how far they were
    for op in trace.ops:
        match op:
            case Step():
                trained[op.node] += op.n
                assert op.lr_progress >= -1e-9
            case Lose() if trace.own:
                trained[op.node] -= op.steps
            case Snapshot():
                assert op.base_version == adopted[op.node, op.fragment]
                assert op.steps <= trained[op.node]
                taken[op.value] = op, trained[op.node]
            case GroupSnapshot():
                taken[op.value] = op, 0
            case Adopt():
                adopted[op.node, op.fragment] = op.version
            case Restore() if op.source != op.node:
                versions = op.own_versions or op.versions
                adopted |= {(op.node, fragment): version for fragment, version in enumerate(versions)}
                anew[op.node] = op.id, trained[op.node]
            case Rebase():
                parent[op.fragment, op.to_version] = op.from_version
            case Mix():
                assert op.contributions[0].node == op.node
                for c in op.contributions:
                    snapshot = _assert_taken_before(op, c, taken)
                    since, first = anew[c.node]
                    if c.node != op.node and snapshot.id > since:
                        shared[c.node, op.fragment].update(range(first, taken[c.snapshot][1]))
            case Merge():
                parent[op.fragment, op.to_version] = op.from_version
                for c in op.contributions:
                    snapshot = _assert_taken_before(op, c, taken)
                    age, version = 0, op.from_version
                    while version > snapshot.base_version:
                        age, version = age + 1, parent[op.fragment, version]
                    assert c.staleness == age
    if trace.own:
        assert sum(map(len, shared.values())) // trace.fragments == trace.merged_steps
    else:
        _assert_claimed_once(trace, taken, parent)


def _assert_taken_before(op: Merge | Mix, c: Contribution, taken: Taken) -> Snapshot | GroupSnapshot:
    snapshot, _ = taken[c.snapshot]
    assert (c.node, c.steps) == (snapshot.node, snapshot.steps)
    assert snapshot.end_us <= op.start_us
    return snapshot


def _mine(c: Contribution, taken: Taken) -> range:
    snapshot, total = taken[c.snapshot]
    return range(total - snapshot.steps, total)


def _assert_claimed_once(trace: Trace, taken: Taken, parent: dict[tuple[int, int], int]) -> None:
    """Of the versions that the final model is made of: each holds its own steps of every node, after those before."""
    final = _final_versions(trace, taken, parent)
    claimed: dict[tuple[int, int], set[range]] = defaultdict(set)
    for op in trace.of_kind(Merge):
        if (op.fragment, op.to_version) in final:
            for c in op.contributions:
                if isinstance(taken[c.snapshot][0], Snapshot):
                    claimed[c.node, op.fragment].add(_mine(c, taken))
    for ranges in claimed.values():
        for a, b in itertools.combinations(ranges, 2):
            assert a.stop <= b.start or b.stop <= a.start, "steps are claimed twice"
    if trace.versions and any(True for _ in trace.of_kind(Merge)):
        total = sum(len(r) for ranges in claimed.values() for r in ranges)
        assert total // trace.fragments == trace.merged_steps


def _final_versions(trace: Trace, taken: Taken, parent: dict[tuple[int, int], int]) -> set[tuple[int, int]]:
    """Those that the final model is made of; with them, of groups, those that their outer gradients are of."""
    merges = {(op.fragment, op.to_version): op for op in trace.of_kind(Merge)}
    found: set[tuple[int, int]] = set()
    left = list(enumerate(trace.versions))
    while left:
        fragment, version = left.pop()
        if version and (fragment, version) not in found:
            found.add((fragment, version))
            merge = merges.get((fragment, version))
            for c in merge.contributions if merge and merge.scope == GLOBAL else ():
                snapshot, _ = taken[c.snapshot]
                if isinstance(snapshot, GroupSnapshot):
                    left.append((fragment, snapshot.version))
            left.append((fragment, parent[fragment, version]))
    return found


def assert_sound(trace: Trace, scenario: Scenario) -> None:
    """All of it."""
    assert_within_contacts(trace, scenario)
    assert_terminals_have_one_link_at_a_time(trace, scenario)
    assert_energy_adds_up(trace, scenario)
    assert_contributions_are_real(trace, scenario)
