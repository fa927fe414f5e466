"""Properties of a node's energy that hold for every power system, in any light and with any loads."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orbital_train.schedule.node import Node, NodeSetting
from orbital_train.schedule.power import MIN_HYSTERESIS, PowerSpec

S = 1_000_000
END_US = 30_000 * S
ROUNDING = 1e-9  # relative: the battery's content is known to 1e-13 of its capacity


@st.composite
def specs(draw: st.DrawFn) -> PowerSpec:
    """From a radio's battery to a data centre's, lossless to lossy, with loads that may be nothing."""
    depth = draw(st.floats(0.02, 1.0))
    least = min(1.0, 1.0 - depth + MIN_HYSTERESIS)
    return PowerSpec(
        array_m2=draw(st.floats(0.0, 30.0)),
        array_efficiency=draw(st.floats(0.05, 0.5)),
        battery_wh=draw(st.floats(0.5, 1e5)),
        idle_w=draw(st.sampled_from([0.0, 10.0, 150.0])),
        train_w=draw(st.floats(0.0, 5000.0)),
        transmit_w=draw(st.sampled_from([0.0, 0.7, 80.0])),
        depth_of_discharge=depth,
        resume_fraction=draw(st.floats(least, 1.0)),
        charge_efficiency=draw(st.floats(0.3, 1.0)),
        discharge_efficiency=draw(st.floats(0.3, 1.0)),
    )


@st.composite
def lit_nodes(draw: st.DrawFn) -> Node:
    """A node in any light, in steps from a microsecond to hours."""
    cuts = sorted(draw(st.lists(st.integers(1, END_US - 1), max_size=12, unique=True)))
    fraction = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0.0, 1.0))
    fractions = draw(st.lists(fraction, min_size=len(cuts) + 1, max_size=len(cuts) + 1))
    power = draw(specs())
    supply_w = tuple(fraction * power.array_w(1.0) for fraction in fractions)
    step_us = draw(st.integers(1000, 600 * S))
    setting = NodeSetting(step_us=step_us, trains=True, power=power, edge_us=(0, *cuts, END_US), supply_w=supply_w)
    return Node(setting)


@dataclass(frozen=True)
class Command:
    at_us: int
    kind: str
    after_us: int  # of a transmission: from the command to its beginning
    length_us: int


commands = st.lists(
    st.builds(
        Command,
        at_us=st.integers(0, END_US),
        kind=st.sampled_from(["train", "hold", "send", "send and take back"]),
        after_us=st.integers(1, 2000 * S),
        length_us=st.integers(1, 4000 * S),
    ),
    max_size=10,
).map(lambda several: sorted(several, key=lambda c: c.at_us))


def flown(node: Node, orders: list[Command]) -> list[tuple[int, int]]:
    """Advance a node to the end by its orders; the transmissions that happened."""
    sends = []
    for order in orders:
        node.advance(order.at_us)
        start_us = order.at_us + order.after_us
        send = (start_us, min(END_US, start_us + order.length_us))
        if order.kind == "train":
            node.train()
        elif order.kind == "hold":
            node.hold()
        elif send[0] < send[1]:
            node.add_send(*send)
            if order.kind == "send":
                sends.append(send)
            else:
                node.remove_send(*send)
    node.advance(END_US)
    return sends


def wh(power_w: float, duration_us: int) -> float:
    return power_w * duration_us / 3600 / S


@given(node=lit_nodes(), orders=commands)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_energy_balances_with_all_its_terms(node: Node, orders: list[Command]) -> None:
    """Harvest and loads are counted a second time, from light and orders alone."""
    power = node.setting.power
    assert power is not None
    sends = flown(node, orders)
    scale_wh = max(node.harvested_wh, node.consumed_wh, node.unserved_wh, power.battery_wh)

    stored_wh = node.energy_wh - power.battery_wh
    out_wh = node.consumed_wh + stored_wh + node.loss_wh + node.curtailed_wh
    assert abs(node.harvested_wh - out_wh) <= ROUNDING * scale_wh

    pairs = itertools.pairwise(node.setting.edge_us)
    lit_wh = sum(wh(supply_w, b - a) for supply_w, (a, b) in zip(node.setting.supply_w, pairs, strict=True))
    assert node.harvested_wh == pytest.approx(lit_wh, rel=1e-9, abs=1e-12)
    loads_wh = wh(power.idle_w, END_US) + wh(power.train_w, node.training_us)
    loads_wh += sum(wh(power.transmit_w, end_us - start_us) for start_us, end_us in sends)
    assert node.consumed_wh + node.unserved_wh == pytest.approx(loads_wh, rel=1e-9, abs=1e-9 * scale_wh)

    assert min(node.curtailed_wh, node.loss_wh, node.unserved_wh) >= -ROUNDING * scale_wh
    assert all(0 <= energy_wh <= power.battery_wh for _, energy_wh in node.battery)
    assert node.training_us + node.waiting_us + node.no_energy_us == END_US


@given(node=lit_nodes(), orders=commands)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_a_battery_gives_what_it_took_less_its_losses(node: Node, orders: list[Command]) -> None:
    """What came out is at most what went in times both efficiencies; a lossless battery loses nothing."""
    power = node.setting.power
    assert power is not None
    flown(node, orders)
    corners = [energy_wh for _, energy_wh in node.battery]
    # Between corners the content moves one way.
    rises_wh = sum(max(0.0, b - a) for a, b in itertools.pairwise(corners))
    falls_wh = sum(max(0.0, a - b) for a, b in itertools.pairwise(corners))
    lost_wh = rises_wh * (1 / power.charge_efficiency - 1) + falls_wh * (1 - power.discharge_efficiency)
    scale_wh = max(node.harvested_wh, node.consumed_wh, power.battery_wh)
    assert node.loss_wh == pytest.approx(lost_wh, rel=1e-9, abs=ROUNDING * scale_wh)


@given(node=lit_nodes(), orders=commands)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_training_never_takes_more_than_the_depth_of_discharge(node: Node, orders: list[Command]) -> None:
    """While it trains the battery is above its floor (less a microsecond's load), and it starts at the resume level."""
    power = node.setting.power
    assert power is not None
    most_w = power.idle_w + power.train_w + 10 * power.transmit_w
    slack_wh = wh(most_w / power.discharge_efficiency, 2) + 1e-12 * power.battery_wh
    without_energy = False
    for order in [*orders, Command(END_US, "hold", 1, 1)]:
        while node.now_us < order.at_us:
            training, energy_wh = node.run_start_us >= 0, node.energy_wh
            node._segment(node._segment_end(order.at_us))
            if training and min(energy_wh, node.energy_wh) < power.floor_wh - slack_wh:
                # Below it the Sun carries the load: the content does not fall.
                assert node.energy_wh >= energy_wh - slack_wh
            if without_energy and node.powered:
                assert node.energy_wh >= power.resume_wh - slack_wh
            without_energy = not node.powered
        flown_once(node, order)


def flown_once(node: Node, order: Command) -> None:
    if order.kind == "train":
        node.train()
    elif order.kind == "hold":
        node.hold()
    elif order.kind == "send":
        node.add_send(order.at_us + order.after_us, order.at_us + order.after_us + order.length_us)
