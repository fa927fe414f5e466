from __future__ import annotations

import numpy as np
import pytest
from scipy.special import j0

from orbital_train.errors import InputError
from orbital_train.windows.rates import PhotonBudget, RateTable, rate_at_bps, refuse_impossible, slice_edges_m

TABLE = RateTable(range_m=(1000e3, 2500e3, 5400e3), rate_bps=(200e9, 100e9, 25e9))


def test_the_usual_terminal_carries_121_gigabit_a_second_at_5400_km() -> None:
    rate_bps = PhotonBudget().rate_bps(np.array([5400e3]))[0]
    assert rate_bps == pytest.approx(121.5e9, rel=1e-3)


def test_far_away_the_rate_is_friis_formula_term_by_term() -> None:
    budget = PhotonBudget(
        transmit_w=2.0, transmit_aperture_m=0.08, receive_aperture_m=0.2, wavelength_m=1064e-9, loss_db=9.0
    )
    areas_m4 = (np.pi * 0.08**2 / 4) * (np.pi * 0.2**2 / 4)
    received_w = 2.0 * areas_m4 / (1064e-9 * 40e6) ** 2 * 10**-0.9
    photon_j = 6.62607015e-34 * 299_792_458.0 / 1064e-9
    assert budget.rate_bps(np.array([40e6]))[0] == pytest.approx(received_w / photon_j / 71.0, rel=1e-6)


def test_received_power_never_exceeds_what_was_sent() -> None:
    budget = PhotonBudget(loss_db=0.0)
    photon_j = 6.62607015e-34 * 299_792_458.0 / 1550e-9
    part = budget.rate_bps(np.geomspace(10.0, 1e8, 200)) * 71.0 * photon_j / 5.0
    assert part.max() == pytest.approx(1.0, rel=1e-9)
    assert (np.diff(part) <= 0).all()


def test_near_field_is_the_best_beam_between_two_apertures_within_a_percent() -> None:
    """Against the largest eigenvalue of the finite Hankel transform (Slepian 1964), computed here."""
    x, weight = np.polynomial.legendre.leggauss(60)
    r, weight = (x + 1) / 2, weight / 2
    budget = PhotonBudget(loss_db=0.0)
    whole_bps = budget.rate_bps(np.array([1.0]))[0]
    near_m = 0.1**2 / 1550e-9  # D² / λ
    for distance_m in near_m * np.array([0.3, 0.5, 1.0, 2.0, 5.0]):
        c = np.pi * 0.1**2 / (2 * 1550e-9 * distance_m)
        kernel = c * np.sqrt(np.outer(r, r)) * j0(c * np.outer(r, r)) * np.sqrt(np.outer(weight, weight))
        best = float(np.abs(np.linalg.eigvalsh(kernel)).max() ** 2)
        assert budget.rate_bps(np.array([distance_m]))[0] / whole_bps == pytest.approx(best, rel=0.01)


def test_the_modem_caps_the_rate() -> None:
    rates_bps = rate_at_bps(PhotonBudget(), 400e9, np.array([1000e3, 5400e3]))
    assert rates_bps.tolist() == [400e9, pytest.approx(121.5e9, rel=1e-3)]
    assert rate_at_bps(TABLE, 150e9, np.array([900e3, 3000e3])).tolist() == [150e9, 25e9]


def test_range_of_a_rate_is_the_inverse_of_the_rate_at_a_range() -> None:
    budget = PhotonBudget()
    range_m = np.array([2e3, 50e3, 3000e3])
    assert budget.range_m(budget.rate_bps(range_m)) == pytest.approx(range_m, rel=1e-9)


def test_a_table_is_steps_up_to_each_range() -> None:
    ranges_m = np.array([1.0, 1000e3, 1000e3 + 1, 2500e3, 5400e3])
    assert rate_at_bps(TABLE, 1e12, ranges_m).tolist() == [200e9, 200e9, 100e9, 100e9, 25e9]
    assert slice_edges_m(TABLE, 1e12, 5400e3).tolist() == [1000e3, 2500e3]


def test_slices_of_a_photon_budget_differ_by_at_most_a_tenth() -> None:
    budget, modem_bps = PhotonBudget(), 300e9
    edges_m = slice_edges_m(budget, modem_bps, 5400e3)
    rates_bps = rate_at_bps(budget, modem_bps, np.append(edges_m, 5400e3))
    assert rates_bps[0] == pytest.approx(modem_bps)
    assert (rates_bps[:-1] / rates_bps[1:]).max() <= 1.1 + 1e-9
    assert (np.diff(edges_m) > 0).all()
    assert slice_edges_m(budget, 100e9, 5400e3).size == 0


@pytest.mark.parametrize(
    ("law", "told"),
    [
        (
            PhotonBudget(transmit_w=1e-6),
            "links.photons = '1e-06 W': gives 0.0243 Mbit/s at links.maximum_range_km = 5400; a link needs at least "
            "1 Mbit/s, which this budget gives up to 842 km",
        ),
        (
            RateTable(range_m=(1000e3, 5000e3), rate_bps=(2e9, 1e9)),
            "links.rate_table = [[1000.0, 2.0], [5000.0, 1.0]]: ends at 5000 km, and links reach to "
            "links.maximum_range_km = 5400",
        ),
        (
            RateTable(range_m=(5400e3, 1000e3), rate_bps=(2e9, 1e9)),
            "links.rate_table = [[5400.0, 2.0], [1000.0, 1.0]]: its ranges must increase from row to row",
        ),
        (
            RateTable(range_m=(5400e3,), rate_bps=(0.0,)),
            "links.rate_table = [[5400.0, 0.0]]: ranges and rates must be above 0",
        ),
    ],
)
def test_impossible_budgets_are_refused(law: PhotonBudget | RateTable, told: str) -> None:
    with pytest.raises(InputError) as caught:
        refuse_impossible(law, 5400e3)
    assert str(caught.value) == told


def test_possible_budgets_are_not() -> None:
    refuse_impossible(PhotonBudget(), 5400e3)
    refuse_impossible(TABLE, 5400e3)
