import numpy as np
import pytest

from orbital_train.schedule.bookings import Bookings
from orbital_train.schedule.network import Network
from orbital_train.schedule.reach import find_reach
from orbital_train.schedule.routes import earliest_arrivals
from tests.unit.schedule.scenarios import contacts, ring

OWLT_S = 0.01


def chain() -> Network:
    """0 and 1 are linked in turns, 1 and 2 in others; nobody ever hears from 3."""
    rows = [(0, 1, 10.0, 20.0), (1, 2, 40.0, 60.0), (0, 1, 100.0, 120.0)]
    return Network(contacts(4, rows, 200.0, 1e9, OWLT_S))


def test_delays_from_the_start_and_at_worst():
    reach = find_reach(chain(), bits=int(2e9), period_s=50.0)
    assert (reach.sources, reach.starts) == ((0, 1, 2, 3), None)
    assert reach.first_s[0].tolist() == pytest.approx([0.0, 10 + 2 + OWLT_S, 40 + 2 + OWLT_S, np.inf])
    # A message of 2 s that is ready right after 18 s misses the first contact with its end, which waits until 100 s.
    assert reach.worst_s[0, 1] == pytest.approx(100 - 18 + OWLT_S, abs=2e-6)
    assert reach.worst_s[1, 2] == pytest.approx(40 + 2 + OWLT_S)
    assert reach.worst_s[2, 1] == pytest.approx(40 + 2 + OWLT_S)


def test_what_cannot_arrive_any_more_is_infinite_at_worst_only():
    reach = find_reach(chain(), bits=int(2e9), period_s=50.0)
    assert reach.first_s[0, 2] == pytest.approx(40 + 2 + OWLT_S)
    assert np.isinf(reach.worst_s[0, 2])  # after 18 s there is no way to node 2
    assert np.isinf(reach.first_s[:3, 3]).all()
    assert np.isinf(reach.first_s[3, :3]).all()
    assert reach.pairs.sum() == 12


def test_the_worst_start_is_found_exactly():
    random = np.random.default_rng(3)
    start_s = random.uniform(0.0, 900.0, 40)
    pairs = [random.choice(5, 2, replace=False) for _ in start_s]
    lasts_s = random.uniform(5.0, 60.0, 40)
    rows = [(int(a), int(b), float(s), float(s + x)) for (a, b), s, x in zip(pairs, start_s, lasts_s, strict=True)]
    rows += [(a, b, 1000.0 + 50 * a, 1040.0 + 50 * a) for a in range(5) for b in range(5) if a < b]
    network = Network(contacts(5, rows, 2000.0, 1e9, OWLT_S))
    reach = find_reach(network, bits=int(3e9), period_s=300.0)
    step_s = 0.5
    for source in range(5):
        tried = np.zeros(5)
        for t_s in np.arange(0.0, 300.0, step_s):
            found = earliest_arrivals(network, Bookings(), {source: int(t_s * 1e6)}, int(3e9))
            for dest, arrival_us in found.arrival_us.items():
                tried[dest] = max(tried[dest], arrival_us / 1e6 - t_s)
        assert np.all(tried <= reach.worst_s[source] + 1e-6)
        assert np.all(reach.worst_s[source] < tried + step_s)


def test_of_a_large_fleet_an_even_sample_is_followed():
    network = Network(contacts(150, ring(150, 1000.0), 1000.0, 1e9, OWLT_S))
    reach = find_reach(network, bits=8_000, period_s=100.0)
    assert (len(reach.sources), reach.sources[0], reach.sources[-1], reach.starts) == (12, 0, 149, 4)
    assert reach.first_s.shape == (12, 150)
    assert reach.worst_s[0, 75] == pytest.approx(75 * (OWLT_S + 8e-6))


def test_of_a_fleet_in_between_all_nodes_are_followed_from_some_start_times():
    reach = find_reach(Network(contacts(20, ring(20, 1000.0), 1000.0, 1e9, OWLT_S)), bits=8_000, period_s=100.0)
    assert (reach.sources, reach.starts) == (tuple(range(20)), 8)
