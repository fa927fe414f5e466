import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from orbital_train.report import fmt
from orbital_train.report.build import build_report, write_report
from orbital_train.report.headline import headline, waiting_arm
from orbital_train.report.runs import Arm, Comparison, read_comparison
from tests.unit.report import synthetic


def cells(html: str, label: str) -> list[str]:
    row = re.search(rf"<tr><th scope=\"row\">{label}<(.*?)</tr>", html)
    assert row is not None
    return [unescape(cell) for cell in re.findall(r"<td>(.*?)</td>", row.group(1))]


def test_the_files_are_written(comparison_dir: Path, tmp_path: Path):
    report = build_report([comparison_dir], tmp_path / "deep" / "out")
    assert report == tmp_path / "deep" / "out" / "report.html"
    assert report.stat().st_size < 5_000_000
    plots = sorted(p.name for p in (report.parent / "plots").iterdir())
    assert plots == ["fleet.png", "loss-bytes.png", "loss-time.png", "loss-tokens.png", "timeline-waiting.png",
                     "timeline.png"]  # fmt: skip
    assert all((report.parent / "plots" / p).read_bytes().startswith(b"\x89PNG") for p in plots)


def test_the_same_runs_give_the_same_bytes(comparison_dir: Path, report_html: str, tmp_path: Path):
    assert build_report([comparison_dir], tmp_path).read_text(encoding="utf-8") == report_html


def test_link_bytes_are_those_of_the_transfers(comparison: Comparison, report_html: str):
    sent = [sum(t.bits for t in arm.runs[0].trace.transfers) / 8 for arm in comparison.arms]
    assert cells(report_html, "link bytes") == [fmt.data_bytes(x) for x in sent]
    ratios = [f"{fmt.times(sent[2] / x)} fewer" for x in sent[:2]]
    assert cells(report_html, "bytes against fully_connected") == [*ratios, "–"]


def test_losses_are_those_of_the_last_evaluations(comparison: Comparison, report_html: str):
    expected, base = [], comparison.arms[2].runs
    for arm in comparison.arms:
        last = [float(run.evaluations.loss[-1]) for run in arm.runs]
        expected.append(f"{sum(last) / 2:.3f} ± {abs(last[0] - last[1]) / 2**0.5:.3f}")
    assert cells(report_html, "final validation loss") == expected
    ratios = [
        a.summary.final_loss / b.summary.final_loss - 1 for a, b in zip(comparison.arms[0].runs, base, strict=True)
    ]
    assert cells(report_html, "loss against fully_connected")[0].startswith(f"+{100 * sum(ratios) / 2:.1f} % ± ")


def test_times_and_tokens_are_those_of_the_trace(comparison: Comparison, report_html: str):
    traces = [arm.runs[0].trace for arm in comparison.arms]
    assert cells(report_html, "simulated time") == [fmt.duration(t.end_us / 1e6) for t in traces]
    assert cells(report_html, "tokens merged") == [fmt.count(t.merged_steps * 512) for t in traces]


def test_the_headline_says_the_numbers(comparison: Comparison):
    first, second = headline(comparison)
    main, base = comparison.arms[0], comparison.arms[2]
    assert f"link_aware ended at validation loss {main.mean('final_loss'):.3f}, +3.0 %" in first
    assert f"with {fmt.times(base.mean('link_bytes') / main.mean('link_bytes'))} fewer bytes" in first
    assert f"in {fmt.times(main.mean('simulated_s') / base.mean('simulated_s'))} the simulated time." in first
    assert second.startswith("Its 4 nodes trained ")
    assert "fixed_period_blocking waited for 28.3 % and took 1.27× as long" in second


def test_the_headline_and_the_captions_tell_what_is_exact_and_what_is_inferred(
    comparison: Comparison, report_html: str
):
    trace = comparison.arms[0].runs[0].trace
    accounts = [trace.accounts[node] for node in trace.fleet_nodes]
    total = sum(a.training_us + a.waiting_us + a.no_energy_us for a in accounts)
    training, no_energy, waiting = (
        fmt.percent(sum(getattr(a, f"{kind}_us") for a in accounts) / total)
        for kind in ("training", "no_energy", "waiting")
    )
    told = f"trained {training} of the time, had no energy to train for {no_energy} and waited for {waiting}"
    assert told in headline(comparison)[1]
    captions = re.findall(r"<figcaption class=\"caption\">(.+?)</figcaption>", report_html, re.DOTALL)
    assert len(captions) == 3  # the fleet, the main arm, the arm that waits most
    assert all("is inferred" in caption for caption in captions)


def test_an_arm_that_did_not_reach_its_budget_is_said_so(comparison: Comparison):
    arms = []
    for arm in comparison.arms:
        runs = [replace(r, summary=replace(r.summary, budget_steps=2 * r.summary.merged_steps)) for r in arm.runs]
        arms.append(Arm(name=arm.name, runs=tuple(runs)))
    first, second = headline(replace(comparison, arms=tuple(arms)))
    assert "(but merged only 50.0 % of its budget before the scenario ended)." in first
    assert "(but merged only 50.0 % of its budget before the scenario ended)." in second
    assert "but merged only" not in "".join(headline(comparison))


def test_the_arm_that_waits_most_is_on_real_windows(comparison: Comparison):
    waiting = waiting_arm(comparison)
    assert waiting is not None
    assert waiting.name == "fixed_period_blocking"
    assert waiting_arm(replace(comparison, arms=comparison.arms[::2])) is None


def test_one_run_alone(comparison_dir: Path, tmp_path: Path):
    html = build_report([comparison_dir / "arms" / "link_aware-s0"], tmp_path).read_text(encoding="utf-8")
    assert "link_aware ended at validation loss 1.963 after 819 k tokens, in 7.87 h of simulated time" in html
    assert "with 92.0 GB sent over simulated links." in html
    assert "against fully_connected" not in html
    assert "Learning rates tried" not in html


def test_one_node_that_sends_nothing(tmp_path: Path):
    horizon_s = 60_000.0
    plan, sun = synthetic.contacts(1, horizon_s), synthetic.light(1, horizon_s)
    rows = plan.kind == 1  # only passes over the ground
    names = ("link_id", "source", "dest", "source_terminal", "dest_terminal", "acquire_start_s",
             "start_s", "end_s", "rate_bps", "owlt_s", "kind")  # fmt: skip
    ground = replace(plan, **{name: getattr(plan, name)[rows] for name in names}, contact_id=np.arange(rows.sum()))
    trace = replace(synthetic.simulate(synthetic.Ring(1, False, 100, 20), plan, sun), transfers=())
    synthetic.write_run(tmp_path / "run", trace, ground, sun, "single_node", 0, False)
    comparison = read_comparison([tmp_path / "run"])
    run = comparison.arms[0].runs[0]
    silent = replace(run, summary=replace(run.summary, link_bytes=0))
    report = write_report(replace(comparison, arms=(Arm(name="single_node", runs=(silent,)),)), tmp_path / "out")
    html = report.read_text(encoding="utf-8")
    assert "without a byte sent between nodes" in html
    assert "Its one node trained" in html
    assert not (tmp_path / "out" / "plots" / "loss-bytes.png").exists()


class References(HTMLParser):
    """All addresses in a page, its tags, and whether every tag is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for key, value in attrs if key in ("src", "href", "srcset", "action", "data")]


def test_nothing_is_loaded_from_elsewhere(report_html: str):
    page = References()
    page.feed(report_html)
    assert len(page.addresses) == 6
    assert all(address.startswith("data:image/png;base64,") for address in page.addresses)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert "url(" not in report_html
    assert "@import" not in report_html
    assert "http" not in re.sub(r"base64,[^\"]*", "", report_html)


@pytest.mark.parametrize(
    "text", ["Four satellites <b>in a ring</b>", "links carry <100 Mbit/s & more>", "# 1 < 2 & <b>"]
)
def test_text_from_recipes_is_escaped(report_html: str, text: str):
    assert text not in report_html
    assert text in unescape(report_html)


def test_simulated_assumed_and_real_are_told_apart(report_html: str):
    simulated, assumed, real = re.findall(r'<div class="card"><span class="tag">(.*?)</div>', report_html, flags=re.S)
    assert "flown model: 1.00 bn parameters" in simulated
    assert assumed.count("<li>") == 3  # one assumption is in the comparison and in its runs: listed once
    assert "trained model: 110 k parameters" in real
    assert "digest 00ababababababab" in real


def test_every_run_is_listed_and_every_recipe_shown(report_html: str):
    assert report_html.count("<td>fixed_period_blocking</td>") == 2
    assert report_html.count("<details>") == 3
    assert report_html.count('class="chosen"') == 3
