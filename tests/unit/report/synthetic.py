"""Small but consistent run directories: a toy ring of satellites, simulated in whole inner steps.

The files are written by the same classes that the program writes with; the losses follow a formula.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from orbital_train.schedule.faults import NO_FAULTS
from orbital_train.schedule.ops.base import Op
from orbital_train.schedule.ops.merging import Contribution, Merge
from orbital_train.schedule.ops.nodes import Step, SyncStep
from orbital_train.schedule.ops.run import Evaluate
from orbital_train.schedule.trace import NodeAccount, Trace
from orbital_train.schedule.trace_file import write_trace
from orbital_train.schedule.transfers import Transfer
from orbital_train.schedule.values import snapshot_value
from orbital_train.windows.ideal import ideal_contacts, ideal_light
from orbital_train.windows.plan import ContactPlan, Illumination, LinkKind

STEP_S = 60.0
ORBIT_S = 5_700.0
TOKENS_PER_STEP = 512
MESSAGE_BITS = 8_000_000_000
RATE_BPS = 1e8
FLOOR_WH, RESUME_WH, FULL_WH = 1400.0, 1550.0, 2000.0
HARVEST_W, LOAD_W, IDLE_W = 1900.0, 1400.0, 150.0


@dataclass
class Ring:
    """The state of the toy simulation."""

    nodes: int
    blocking: bool
    budget_steps: int
    inner_steps: int
    ops: list[Op] = field(default_factory=list)
    transfers: list[Transfer] = field(default_factory=list)


def light(nodes: int, horizon_s: float) -> Illumination:
    """An eclipse of 2,100 s per orbit with 10 s of penumbra, rolling along the ring."""
    edges, fractions = [], []
    for node in range(nodes):
        edge, fraction = [0.0], [1.0]
        start = ORBIT_S * (0.3 + node / nodes)
        while start + 2_120 < horizon_s:
            edge += [start, start + 10, start + 2_110, start + 2_120]
            fraction += [0.5, 0.0, 0.5, 1.0]
            start += ORBIT_S
        edges.append(np.array([*edge, horizon_s]))
        fractions.append(np.array(fraction))
    names = tuple(f"s{i:02d}" for i in range(nodes))
    return Illumination(
        node_names=names, horizon_s=horizon_s, edge_s=tuple(edges), fraction=tuple(fractions), sun_distance_au=1.0
    )


def contacts(nodes: int, horizon_s: float) -> ContactPlan:
    """Every neighbour in the ring is seen for half of the time; one ground site sees each node briefly."""
    rows: list[tuple[float, float, int, int, int]] = []
    for node in range(nodes):
        for start in np.arange(300.0 * (node % 3), horizon_s - 2_000, 3_000):
            neighbour = (node + 1) % nodes if nodes > 1 else nodes  # the ground site
            t_s = float(start)
            rows += [(t_s, t_s + 1_500, *pair, LinkKind.ISL) for pair in ((node, neighbour), (neighbour, node))]
        for start in np.arange(900.0 * node, horizon_s - 500, 2 * ORBIT_S):
            t_s = float(start)
            rows += [(t_s, t_s + 400, *pair, LinkKind.GROUND) for pair in ((node, nodes), (nodes, node))]
    rows.sort()
    start_s, end_s, source, dest, kind = (np.array(column) for column in zip(*rows, strict=True))
    c = np.arange(len(rows))
    zero = np.zeros(len(rows), dtype=np.int64)
    return ContactPlan(
        node_names=(*(f"s{i:02d}" for i in range(nodes)), "gs"), horizon_s=horizon_s, contact_id=c, link_id=c // 2,
        source=source, dest=dest, source_terminal=zero, dest_terminal=zero, acquire_start_s=start_s, start_s=start_s,
        end_s=end_s, rate_bps=np.full(len(rows), RATE_BPS), owlt_s=np.full(len(rows), 0.01), kind=kind,
    )  # fmt: skip


def simulate(ring: Ring, plan: ContactPlan, sun: Illumination) -> Trace:
    """Train in whole steps; merge over the ring when enough was trained and the links are open."""
    n, steps_max = ring.nodes, int(plan.horizon_s / STEP_S)
    energy = np.full(n, FULL_WH)
    powered = np.ones(n, dtype=bool)
    since, done, state = np.zeros(n, dtype=int), np.zeros(n, dtype=int), np.zeros(n, dtype=int)
    us = {key: np.zeros(n, dtype=int) for key in ("training", "waiting", "no_energy")}
    battery: list[list[tuple[int, float]]] = [[(0, FULL_WH)] for _ in range(n)]
    merged, version, k = 0, 0, 0
    ring.ops.append(_evaluate(ring, 0, 0, 0))
    while merged < ring.budget_steps and k < steps_max:
        t_s = k * STEP_S
        lit = np.array([np.interp(t_s, *_piecewise(sun, i)) for i in range(n)])
        powered = np.where(powered, energy > FLOOR_WH, energy > RESUME_WH)
        trains = powered & ~(ring.blocking & (since >= ring.inner_steps))
        for i in range(n):
            key = "training" if trains[i] else ("waiting" if powered[i] else "no_energy")
            us[key][i] += int(STEP_S * 1e6)
            if trains[i]:
                _train(ring, i, k, done[i], state[i])
                done[i], since[i], state[i] = done[i] + 1, since[i] + 1, state[i] + 1
        energy = np.clip(energy + (HARVEST_W * lit - np.where(trains, LOAD_W, IDLE_W)) * STEP_S / 3600, 0, FULL_WH)
        k += 1
        for i in range(n):
            battery[i].append((int(k * STEP_S * 1e6), float(energy[i])))
        ready = since >= ring.inner_steps
        opened = (plan.start_s <= k * STEP_S) & (plan.end_s >= k * STEP_S + 200) & (plan.kind == LinkKind.ISL)
        if (ready.all() if ring.blocking else ready.sum() * 2 > n) and opened.sum() >= n:
            merged += int(since.sum())
            version += 1
            _merge(ring, plan, k, version, since, state, np.flatnonzero(opened))
            ring.ops.append(_evaluate(ring, k, version, merged))
            since[:] = 0
    end_us = ring.ops[-1].end_us
    accounts = [_account(plan.node_names[i], int(done[i]), us, battery, i) for i in range(n)]
    accounts.append(_account("gs", 0, {key: np.zeros(n + 1, dtype=int) for key in us}, [[]] * (n + 1), n))
    return Trace(
        policy="blocking" if ring.blocking else "link_aware", fleet_nodes=tuple(range(n)), fragments=1,
        versions=(version,), state_bits=MESSAGE_BITS, budget_steps=ring.budget_steps, merged_steps=merged,
        end_us=end_us, step_us=int(STEP_S * 1e6), tokens_per_step=TOKENS_PER_STEP, message_bits=MESSAGE_BITS,
        transfers=tuple(ring.transfers),
        ops=tuple(ring.ops), accounts=tuple(accounts),
    )  # fmt: skip


def synchronous(nodes: int, budget_steps: int, plan: ContactPlan) -> Trace:
    """The fully connected baseline: synchronous steps, constant sun, a ring all-reduce in every step."""
    ops: list[Op] = []
    transfers: list[Transfer] = []
    per_op, t_us = 25, 0
    for i in range(budget_steps // (nodes * per_op)):
        end_us = t_us + int(per_op * STEP_S * 1e6)
        shared = {"start_us": t_us, "end_us": end_us}
        for source in range(nodes):
            dest = (source + 1) % nodes
            contact = int(np.flatnonzero((plan.source == source) & (plan.dest == dest))[0])
            bits = per_op * 2 * MESSAGE_BITS * (nodes - 1) // nodes
            transfers.append(Transfer(contact=contact, source=source, dest=dest, **shared, owlt_us=0, bits=bits,
                                      value=f"gradients@{i}"))  # fmt: skip
        ops.append(SyncStep(id=len(ops), **shared, group=tuple(range(nodes)), first=i * per_op, n=per_op,
                            tokens=per_op * nodes * 512, lr_progress=0.0, lr_progress_per_step=0.0, from_version=i,
                            to_version=i + 1))  # fmt: skip
        merged = (i + 1) * per_op * nodes
        ops.append(Evaluate(id=len(ops), start_us=end_us, end_us=end_us, scope="global", versions=(i + 1,),
                            merged_steps=merged, merged_tokens=merged * TOKENS_PER_STEP))  # fmt: skip
        t_us = end_us
    us = {"training": np.full(nodes, t_us), "waiting": np.zeros(nodes, int), "no_energy": np.zeros(nodes, int)}
    return Trace(
        policy="synchronous", fleet_nodes=tuple(range(nodes)), fragments=1,
        versions=(budget_steps // (nodes * per_op),), state_bits=MESSAGE_BITS, budget_steps=budget_steps,
        merged_steps=merged, end_us=t_us, step_us=int(STEP_S * 1e6), tokens_per_step=TOKENS_PER_STEP,
        message_bits=MESSAGE_BITS, transfers=tuple(transfers), ops=tuple(ops),
        accounts=tuple(_account(f"s{i:02d}", merged // nodes, us, [[]] * nodes, i) for i in range(nodes)),
    )  # fmt: skip


def write_run(path: Path, trace: Trace, plan: ContactPlan, sun: Illumination, arm: str, seed: int, ideal: bool) -> None:
    """A whole run directory, with losses by formula and a summary that agrees with the trace."""
    (path / "plan").mkdir(parents=True)
    plan.write(path / "plan" / "contacts.parquet")
    sun.write(path / "plan" / "illumination.parquet")
    NO_FAULTS.write(path / "plan" / "faults.jsonl")
    (path / "plan" / "summary.json").write_text(json.dumps({"contacts": len(plan)}), encoding="utf-8")
    write_trace(trace, path / "trace.jsonl")
    (path / "recipe.toml").write_text(f'name = "toy ring"\npolicy = "{arm}"  # 1 < 2 & <b>\n', encoding="utf-8")
    cost = 1.0 if ideal else 1.03
    rows = [
        {
            "event": "evaluate", "op": op.id, "versions": op.versions, "merged_steps": op.merged_steps,
            "trained_tokens": op.merged_steps * TOKENS_PER_STEP, "sim_s": op.end_us / 1e6,
            "loss": round(cost * (1.5 + 2.6 / math.sqrt(1 + op.merged_steps / 40)) + 0.01 * seed, 6),
        }
        for op in trace.of_kind(Evaluate)
    ]  # fmt: skip
    step = {"event": "step", "op": 1, "node": 0, "first": 0, "n": 1, "loss": 3.0, "sim_s": 60.0}
    lines = [json.dumps(row) for row in [step, *rows]]
    (path / "metrics.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (path / "summary.json").write_text(json.dumps(summary(trace, arm, seed, ideal, rows[-1]["loss"])), encoding="utf-8")


def summary(trace: Trace, arm: str, seed: int, ideal: bool, final_loss: float) -> dict[str, object]:
    """The summary of a run of the toy ring."""
    trained = sum(a.steps for a in trace.accounts)
    merges = sum(1 for _ in trace.of_kind(Merge))
    sent = sum(t.bits for t in trace.transfers) / 8
    return {
        "name": "toy ring", "arm": arm, "seed": seed, "policy": trace.policy, "ideal": ideal, "final_loss": final_loss,
        "digest": f"{seed:02d}" + "ab" * 31, "wall_s": 95.0, "workers": 2, "device": "cpu", "deterministic": True,
        "parameters_trained": 110_000, "parameters_flown": 1_000_000_000, "tokens_per_step_flown": 524_288,
        "tokens_per_step_trained": TOKENS_PER_STEP, "budget_steps": trace.budget_steps,
        "merged_steps": trace.merged_steps, "trained_steps": trained, "lost_steps": trained - trace.merged_steps,
        "simulated_s": trace.end_us / 1e6, "link_bytes": sent, "real_bytes": 52_800_000, "duty": 0.72, "goodput": 0.91,
        "merges": merges, "mean_inner_steps": trace.merged_steps / merges if merges else None,
        "max_staleness": 1 if merges else None, "tuned": {"inner_lr": 0.004, "outer_lr": 0.8},
        "assumptions": ["step time 60 s", "links carry <100 Mbit/s & more>"], "notes": [],
    }  # fmt: skip


def write_comparison(path: Path, nodes: int = 4, budget_steps: int = 1_600, seeds: int = 2, inner: int = 20) -> None:
    """A comparison of three arms: link_aware, fixed_period_blocking, fully_connected."""
    horizon_s = 60 * ORBIT_S
    plan, sun = contacts(nodes, horizon_s), light(nodes, horizon_s)
    names = plan.node_names[:nodes]
    mesh, lit = ideal_contacts(names, horizon_s), ideal_light(names, horizon_s)
    arms = {
        "fully_connected": (synchronous(nodes, budget_steps, mesh), mesh, lit, True),
        "link_aware": (simulate(Ring(nodes, False, budget_steps, inner), plan, sun), plan, sun, False),
        "fixed_period_blocking": (simulate(Ring(nodes, True, budget_steps, inner), plan, sun), plan, sun, False),
    }
    listed = []
    for arm, (trace, windows, sunlight, ideal) in arms.items():
        for seed in range(seeds):
            run = f"arms/{arm}-s{seed}"
            write_run(path / run, trace, windows, sunlight, arm, seed, ideal)
            listed.append({"arm": arm, "seed": seed, "run": run})
    grid = [
        {"arm": arm, "inner_lr": lr, "outer_lr": outer, "loss": 1.8 + lr * 10 - outer / 10, "chosen": chosen}
        for arm in arms
        for lr, outer, chosen in ((0.002, 0.7, False), (0.004, 0.7, False), (0.002, 1.0, True), (0.004, 1.0, False))
    ]
    (path / "comparison.json").write_text(
        json.dumps({
            "name": "toy ring", "description": "Four satellites <b>in a ring</b>", "arms": listed, "tuning": grid,
            "assumptions": ["step time 60 s", "orbit of 95 min"],
        }),
        encoding="utf-8",
    )  # fmt: skip


def _piecewise(sun: Illumination, node: int) -> tuple[np.ndarray, np.ndarray]:
    edge, fraction = sun.edge_s[node], sun.fraction[node]
    return np.column_stack([edge[:-1], edge[1:] - 1e-9]).ravel(), np.repeat(fraction, 2)


def _train(ring: Ring, node: int, k: int, first: int, state: int) -> None:
    ring.ops.append(Step(
        id=len(ring.ops), start_us=int(k * STEP_S * 1e6), end_us=int((k + 1) * STEP_S * 1e6), node=node,
        state=int(state), first=int(first), n=1, tokens=TOKENS_PER_STEP, lr_progress=0.0, lr_progress_per_step=0.0,
    ))  # fmt: skip


def _merge(
    ring: Ring, plan: ContactPlan, k: int, version: int, since: np.ndarray, state: np.ndarray, rows: np.ndarray
) -> None:
    start_us = int(k * STEP_S * 1e6)
    end_us = start_us + int(MESSAGE_BITS / RATE_BPS * 1e6)
    snaps = [snapshot_value(i, 0, int(state[i])) for i in range(ring.nodes)]
    for c in rows.tolist():
        source = int(plan.source[c])
        if source < ring.nodes and since[source]:
            ring.transfers.append(Transfer(
                contact=c, source=source, dest=int(plan.dest[c]), start_us=start_us, end_us=end_us, owlt_us=10_000,
                bits=MESSAGE_BITS, value=snaps[source],
            ))  # fmt: skip
    given = tuple(
        Contribution(snapshot=snaps[i], node=i, steps=int(since[i]), weight=float(since[i] / since.sum()), staleness=0)
        for i in range(ring.nodes)
    )
    ring.ops.append(Merge(
        id=len(ring.ops), start_us=start_us, end_us=end_us + 10_000, scope="global", site=0,
        holders=tuple(range(ring.nodes)), fragment=0, from_version=version - 1, to_version=version,
        contributions=given, inputs=tuple(snaps), input_weights=tuple(c.weight for c in given), momentum="replicated",
        codec="fp32",
    ))  # fmt: skip


def _evaluate(ring: Ring, k: int, version: int, merged: int) -> Evaluate:
    t_us = ring.ops[-1].end_us if ring.ops else 0
    return Evaluate(
        id=len(ring.ops), start_us=t_us, end_us=t_us, scope="global", versions=(version,), merged_steps=merged,
        merged_tokens=merged * TOKENS_PER_STEP,
    )  # fmt: skip


def _account(
    name: str, steps: int, us: dict[str, np.ndarray], battery: list[list[tuple[int, float]]], i: int
) -> NodeAccount:
    return NodeAccount(
        name=name, trains=name != "gs", steps=steps, steps_allowed=steps, steps_always_powered=steps,
        training_us=int(us["training"][i]), no_energy_us=int(us["no_energy"][i]), waiting_us=int(us["waiting"][i]),
        down_us=0, restoring_us=0,
        harvested_wh=0.0, curtailed_wh=0.0, consumed_wh=0.0, battery_loss_wh=0.0, unserved_wh=0.0,
        battery_us=tuple(t for t, _ in battery[i]), battery_wh=tuple(e for _, e in battery[i]),
    )  # fmt: skip
