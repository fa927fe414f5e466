import numpy as np
import pytest

from orbital_train.report.heat import draw_heat, grouped, panels
from orbital_train.report.runs import Plan
from orbital_train.report.style import figure
from orbital_train.report.timeline import timeline_plot
from orbital_train.schedule.faults import NO_FAULTS
from orbital_train.schedule.ops.merging import Merge
from tests.unit.report import synthetic


def ring_plan(nodes: int) -> Plan:
    contacts, sun = synthetic.contacts(nodes, 20_000.0), synthetic.light(nodes, 20_000.0)
    trace = synthetic.simulate(synthetic.Ring(nodes, False, 40 * nodes, 10), contacts, sun)
    return Plan(contacts=contacts, light=sun, faults=NO_FAULTS, trace=trace)


def png_size(png: bytes) -> tuple[int, int]:
    """Width and height [pixels], as they stand in the PNG's header."""
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")


def test_a_few_nodes_have_lanes_and_many_have_heat_maps():
    assert png_size(timeline_plot(ring_plan(3), "toy")) == (1650, round(150 * (1.15 + 3 * 0.56)))
    assert png_size(timeline_plot(ring_plan(30), "toy")) == (1800, 1260)


def test_heat_maps_are_exact_averages_over_their_bins():
    plan = ring_plan(30)
    end_s = plan.trace.end_us / 1e6
    shown = {panel.title: panel for panel in panels(plan, np.linspace(0.0, end_s, 11))}
    assert list(shown) == ["sunlight", "battery", "open links", "training"]
    for node in (0, 17):
        edge_s, fraction = plan.light.edge_s[node], plan.light.fraction[node]
        lit_s = (np.diff(np.minimum(edge_s, end_s)) * fraction).sum()
        assert shown["sunlight"].values[node].mean() == pytest.approx(lit_s / end_s)
        account = plan.trace.accounts[node]
        assert shown["training"].values[node].mean() == pytest.approx(account.training_us / plan.trace.end_us, abs=0.02)
    assert shown["battery"].values.min() >= shown["battery"].low


def test_heat_maps_show_every_merge():
    plan = ring_plan(30)
    with figure(12.0, 8.4) as fig:
        draw_heat(fig, plan, "toy")
        merges = len(list(plan.trace.of_kind(Merge)))
        assert merges > 0
        assert len(fig.axes[0].lines[0].get_xdata()) == merges
        assert fig.get_suptitle() == f"toy: 30 nodes; ticks: {merges} merges"


def test_neighbours_share_a_row_where_there_are_too_many():
    values = np.arange(10.0)[:, None] * np.ones(3)
    assert grouped(values, 20).tolist() == values.tolist()
    assert grouped(values, 4)[:, 0].tolist() == [0.5, 3.0, 5.5, 8.0]
    assert grouped(np.random.default_rng(0).random((1584, 7)), 160).shape == (160, 7)
