"""Small scenarios, written by hand, for tests of the schedule: no orbits are needed to test it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from orbital_train.schedule.power import PowerSpec
from orbital_train.schedule.scenario import Scenario
from orbital_train.schedule.trace import Trace
from orbital_train.schedule.transfers import Transfer
from orbital_train.schedule.workload import Workload
from orbital_train.windows.plan import ContactPlan, Illumination, LinkKind

Window = tuple[int, int, float, float]  # node, node, start_s, end_s

POWER = PowerSpec(array_m2=4.0, array_efficiency=0.3, battery_wh=300.0, idle_w=100.0, train_w=700.0, transmit_w=50.0)
WORKLOAD = Workload(parameters=1e6, tokens_per_step=1000, step_s=10.0)


def ops(trace: Trace, kind: type) -> list:
    """Operations of one kind."""
    return list(trace.of_kind(kind))


def sent(trace: Trace, value: str) -> list[Transfer]:
    """What carries a value."""
    return [transfer for transfer in trace.transfers if transfer.value == value]


def contacts(nodes: int, windows: Sequence[Window], horizon_s: float, rate_bps: float, owlt_s: float) -> ContactPlan:
    """Two-way links in these windows; every link has a terminal of its own."""
    rows = sorted((start, a, b, end, k) for k, (a, b, start, end) in enumerate(windows))
    both = [row for start, a, b, end, k in rows for row in ((start, a, b, end, k), (start, b, a, end, k))]
    start, source, dest, end, link = np.array(both, dtype=np.float64).reshape(-1, 5).T
    source, dest, link = (column.astype(np.int64) for column in (source, dest, link))
    n = len(both)
    return ContactPlan(
        node_names=tuple(f"n{i}" for i in range(nodes)),
        horizon_s=horizon_s,
        contact_id=np.arange(n),
        link_id=link,
        source=source,
        dest=dest,
        source_terminal=link,
        dest_terminal=link,
        acquire_start_s=start,
        start_s=start,
        end_s=end,
        rate_bps=np.full(n, rate_bps),
        owlt_s=np.full(n, owlt_s),
        kind=np.full(n, int(LinkKind.ISL)),
    )


def one_way(
    rows: Sequence[Window],
    nodes: int = 4,
    *,
    rate_bps: Sequence[float] | float = 1e6,
    owlt_s: Sequence[float] | float = 0.0,
    horizon_s: float = 1000.0,
) -> ContactPlan:
    """One-way contacts in the order of their starts, each on terminals of its own."""
    assert list(rows) == sorted(rows, key=lambda row: row[2])
    source, dest, start_s, end_s = (np.array(column) for column in zip(*rows, strict=True))
    ids = np.arange(len(rows))
    return ContactPlan(
        node_names=tuple(f"n{i}" for i in range(nodes)),
        horizon_s=horizon_s,
        contact_id=ids,
        link_id=ids,
        source=source,
        dest=dest,
        source_terminal=ids,
        dest_terminal=ids,
        acquire_start_s=start_s.astype(float),
        start_s=start_s.astype(float),
        end_s=end_s.astype(float),
        rate_bps=np.broadcast_to(rate_bps, len(rows)).astype(float),
        owlt_s=np.broadcast_to(owlt_s, len(rows)).astype(float),
        kind=np.full(len(rows), int(LinkKind.ISL)),
    )


def light(nodes: int, horizon_s: float, dark: Sequence[tuple[int, float, float]] = ()) -> Illumination:
    """Sunlight, but for these (node, start_s, end_s), which are umbra."""
    edges, fractions = [], []
    for i in range(nodes):
        mine = sorted((start, end) for node, start, end in dark if node == i)
        edge = [0.0, *(t for window in mine for t in window), horizon_s]
        edges.append(np.array(edge))
        fractions.append(np.array([1.0 - k % 2 for k in range(len(edge) - 1)]))
    names = tuple(f"n{i}" for i in range(nodes))
    return Illumination(
        node_names=names, horizon_s=horizon_s, edge_s=tuple(edges), fraction=tuple(fractions), sun_distance_au=1.0
    )


def ring(nodes: int, horizon_s: float) -> list[Window]:
    """Links from every node to the next, all the time."""
    return [(i, (i + 1) % nodes, 0.0, horizon_s) for i in range(nodes)]


def rolling_night(nodes: int, horizon_s: float, period_s: float = 5700.0, night_s: float = 2100.0) -> list:
    """An eclipse each orbit, rolling along the ring."""
    rows = []
    for i in range(nodes):
        start_s = i * period_s / nodes + 1.0
        while start_s + night_s < horizon_s:
            rows.append((i, start_s, start_s + night_s))
            start_s += period_s
    return rows


def scenario(
    nodes: int = 4,
    *,
    horizon_s: float = 20_000.0,
    windows: Sequence[Window] | None = None,
    dark: Sequence[tuple[int, float, float]] = (),
    power: PowerSpec | None = POWER,
    workload: Workload = WORKLOAD,
    budget_steps: int = 400,
    training_nodes: tuple[int, ...] | None = None,
    rate_bps: float = 1e7,
    owlt_s: float = 0.01,
) -> Scenario:
    """A ring in sunlight unless told otherwise: 10 s a step, 3.2 s a message and hop."""
    return Scenario(
        contacts=contacts(nodes, ring(nodes, horizon_s) if windows is None else windows, horizon_s, rate_bps, owlt_s),
        light=light(nodes, horizon_s, dark),
        power=power,
        workload=workload,
        training_nodes=tuple(range(nodes)) if training_nodes is None else training_nodes,
        budget_steps=budget_steps,
        evaluate_every_steps=100,
    )
