from dataclasses import replace

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.figure import Figure

from orbital_train.report.ground_map import is_formation
from orbital_train.report.orbits import draw_orbits, orbits_plot
from orbital_train.report.sky import Sky
from orbital_train.report.style import SPACE, figure
from orbital_train.windows.ideal import ideal_contacts
from orbital_train.windows.plan import ContactPlan, Illumination
from tests.unit.report import skies


def ring_pairs(nodes: int) -> list[tuple[int, int]]:
    return [(i, (i + 1) % nodes) for i in range(nodes)] if nodes > 2 else [(0, 1)] * (nodes == 2)


def light(contacts: ContactPlan, dark: int = 0) -> Illumination:
    """The first so many nodes are in the dark."""
    nodes = len(contacts.node_names)
    return Illumination(
        node_names=contacts.node_names, horizon_s=contacts.horizon_s, sun_distance_au=1.0,
        edge_s=(np.array([0.0, contacts.horizon_s]),) * nodes,
        fraction=tuple(np.array([0.0 if i < dark else 1.0]) for i in range(nodes)),
    )  # fmt: skip


def drawn(contacts: ContactPlan, sky: Sky, dark: int = 0) -> Figure:
    with figure(13.0, 7.6) as fig:
        draw_orbits(fig, contacts, light(contacts, dark), sky, "toy")
        return fig


def segments(ax: Axes, width: float | None = None) -> int:
    lines = [c for c in ax.collections if isinstance(c, LineCollection)]
    return sum(len(c.get_segments()) for c in lines if width is None or c.get_linewidth()[0] == width)


def dots(ax: Axes) -> int:
    return sum(len(c.get_offsets()) for c in ax.collections if isinstance(c, PathCollection))


@pytest.mark.parametrize(("planes", "slots"), [(1, 1), (1, 2), (1, 12), (9, 9), (72, 22)])
def test_every_satellite_link_and_orbit_is_drawn(planes: int, slots: int):
    sky, satellites = skies.constellation(planes, slots, sites=0), planes * slots
    contacts = skies.links(satellites, ring_pairs(satellites))
    fig = drawn(contacts, sky, dark=satellites // 2)
    globe, ground, links = fig.axes[:3]
    assert dots(globe) == dots(ground) == satellites
    pieces = 24 if len(ring_pairs(satellites)) < 250 else 8
    assert segments(globe) == len(ring_pairs(satellites)) * pieces + min(planes, 36) * 90
    assert [len(links.images), len(links.lines)] == (
        [0, 0] if satellites == 1 else [1, 0] if satellites < 101 else [0, 2]
    )
    entries = [text.get_text() for text in fig.legends[0].get_texts()]
    assert entries[:2] == [f"sunlit ({satellites - satellites // 2:,})", f"in shadow ({satellites // 2:,})"]
    assert (f"open link ({len(ring_pairs(satellites)):,})" in entries) == (satellites > 1)


def test_a_formation_is_shown_close_up():
    sky = skies.formation()
    contacts = skies.links(81, ring_pairs(81))
    close = drawn(contacts, sky).axes[1]
    assert (close.get_title(loc="left"), close.get_xlabel()) == ("The formation, close up", "along the flight (m)")
    assert (dots(close), segments(close)) == (81, 81)
    along_m, up_m = np.asarray(close.collections[1].get_offsets()).T
    assert np.abs(along_m).max() == pytest.approx(1000.0, abs=1.0)
    assert np.abs(up_m).max() == pytest.approx(500.0, abs=1.0)


def test_satellites_that_only_pass_each_other_are_no_formation():
    sky = skies.formation()
    turned = sky.velocities_mps * np.where(np.arange(81) < 40, 1.0, -1.0)[:, None]
    assert is_formation(sky)
    assert not is_formation(replace(sky, velocities_mps=turned))
    assert not is_formation(skies.constellation(1, 1))


def test_links_to_the_ground_have_a_colour_and_an_entry_of_their_own():
    contacts = skies.links(13, [*ring_pairs(12), (3, 12)])
    legend = drawn(contacts, skies.constellation(1, 12, sites=1)).legends[0]
    handles = dict(zip([t.get_text() for t in legend.get_texts()], legend.legend_handles, strict=True))
    assert handles["open link to the ground (1)"].get_color() == SPACE["ground_link"]
    assert "ground site" in handles


def test_cables_between_ground_sites_are_not_drawn():
    contacts = skies.links(14, [*ring_pairs(12), (12, 13)])
    fig = drawn(contacts, skies.constellation(1, 12, sites=2))
    assert segments(fig.axes[0]) == 12 * 24 + 90
    entries = [text.get_text() for text in fig.legends[0].get_texts()]
    assert "open link (12)" in entries
    assert not any("to the ground" in entry for entry in entries)


def test_an_ideal_world_says_so():
    contacts = ideal_contacts(tuple("abcd"), 5_000.0)
    fig = drawn(contacts, skies.constellation(1, 4, sites=0))
    assert fig.get_suptitle() == "toy: 2026-03-20 00:01 UTC, 1.67 min after the start, ideal links and light"


def test_the_same_plan_gives_the_same_bytes():
    sky, contacts = skies.constellation(2, 3), skies.links(7, [(0, 1), (2, 6)])
    first, second = (orbits_plot(contacts, light(contacts), sky, "toy") for _ in range(2))
    assert first == second
    assert first.startswith(b"\x89PNG")
    other = replace(sky, sidereal_rad=2.0)
    assert orbits_plot(contacts, light(contacts), other, "toy") != first
