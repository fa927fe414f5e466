import pytest

from orbital_train.report import fmt


@pytest.mark.parametrize(
    ("x", "text"),
    [(0, "0"), (1.7, "1.70"), (412.4, "412"), (9.996, "10.0"), (0.01234, "0.0123"), (-3.14159, "-3.14"),
     (123456, "123000"), (float("nan"), "not finite")],
)  # fmt: skip
def test_three_significant_digits(x, text):
    assert fmt.significant(x) == text


@pytest.mark.parametrize(
    ("n", "text"), [(512, "512 B"), (999.6, "1.00 kB"), (3.2e9, "3.20 GB"), (92e9, "92.0 GB"), (2.4e12, "2.40 TB")]
)
def test_bytes_are_decimal(n, text):
    assert fmt.data_bytes(n) == text


@pytest.mark.parametrize(("n", "text"), [(64, "64"), (110_000, "110 k"), (12.8e6, "12.8 M"), (8.03e9, "8.03 bn")])
def test_counts(n, text):
    assert fmt.count(n) == text


@pytest.mark.parametrize(
    ("t_s", "text"), [(0.25, "0.250 s"), (89, "89.0 s"), (95, "1.58 min"), (5400, "1.50 h"), (172800, "2.00 d")]
)
def test_durations_change_unit(t_s, text):
    assert fmt.duration(t_s) == text


def test_ratios_are_said_the_way_round_that_has_the_larger_number():
    assert fmt.fewer(1 / 412) == "412× fewer"
    assert fmt.fewer(1.3) == "1.30× as many"
    assert fmt.fewer(0) == "none"


def test_percent_has_a_real_minus():
    assert fmt.signed_percent(0.031) == "+3.1 %"
    assert fmt.signed_percent(-0.004) == "−0.4 %"


def test_the_time_axis_has_one_unit():
    assert fmt.time_unit(60) == (1.0, "s")
    assert fmt.time_unit(7200) == (3600.0, "h")
    assert fmt.time_unit(864_000) == (86_400.0, "d")
