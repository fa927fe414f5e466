import io
from collections.abc import Iterator

import pytest
from rich.console import Console

from orbital_train.report.progress import Progress, RunProgress, line

STATE = {
    "sim_s": 50_400.0, "horizon_s": 86_400.0, "sunlit": 7, "nodes": 12, "open_links": 18, "loss": 1.93,
    "steps_per_s": 80.0, "total_steps": 12_000,
}  # fmt: skip


def test_one_line_says_it_all():
    assert line(Progress(**STATE, done_steps=4_000)) == (
        "4000/12000 steps  loss 1.930  80.0 steps/s  left 1.67 min  simulated 14.0 h of 24.0 h  sunlit 7/12  links 18"
    )


def test_what_is_not_known_yet_is_a_dash():
    text = line(Progress(**(STATE | {"loss": None, "steps_per_s": 0.0}), done_steps=0))
    assert "loss –" in text
    assert "left –" in text


def test_without_a_terminal_lines_come_every_few_seconds_and_at_the_end():
    times: Iterator[float] = iter([0.0, 0.0, 1.0, 5.0, 5.0, 6.0, 7.0])
    console = Console(file=io.StringIO(), force_terminal=False, width=40)
    with RunProgress("toy", console, clock_s=lambda: next(times)) as progress:
        for done in (100, 200, 300, 400):
            progress.update(**STATE, done_steps=done)
    printed = console.file.getvalue().splitlines()
    assert [text.split()[0] for text in printed] == ["100/12000", "300/12000", "400/12000"]


def test_on_a_terminal_the_panel_is_drawn():
    console = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)
    with RunProgress("toy · [link_aware]", console) as progress:
        progress.update(**STATE, done_steps=4_000)
    text = console.file.getvalue()
    for part in ("toy · [link_aware]", "4000 / 12000 steps", "1.930", "14.0 h of 24.0 h", "7 of 12"):
        assert part in text


def test_the_terminal_is_given_back_after_an_error():
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with pytest.raises(ZeroDivisionError), RunProgress("toy", console):
        raise ZeroDivisionError
    assert "\x1b[?25h" in console.file.getvalue()  # the cursor is shown again
