"""The table of flipped bits, and what stands under it."""

from __future__ import annotations

import tomllib
from collections import Counter

from orbital_train.report import fmt
from orbital_train.report.results import WITHOUT_FLIPS, Table
from orbital_train.report.runs import Arm, Comparison, Run
from orbital_train.report.seeds import paired_loss


def upset_table(comparison: Comparison) -> Table | None:
    """Flips by arm and target, over all seeds; None where there were none at all."""
    rows = [row for arm in comparison.arms for row in _arm_rows(arm)]
    return Table(header=("arm", "bits flipped in", "injected", "found", "silent"), rows=tuple(rows)) if rows else None


def _arm_rows(arm: Arm) -> list[tuple[str, ...]]:
    injected, found = (sum((getattr(r.flips, key) for r in arm.runs), Counter[str]()) for key in ("injected", "found"))
    return [(arm.name, t, str(n), str(found[t]), str(n - found[t])) for t, n in sorted(injected.items())]


def upset_lines(comparison: Comparison) -> tuple[str, ...]:
    """What stands under the table: rates, what nodes did about it, and what it did to the loss."""
    clean = next((arm for arm in comparison.arms if arm.name.split(": ")[-1] == WITHOUT_FLIPS), None)
    lines = []
    for arm in comparison.arms:
        told = [run.flips for run in arm.runs]
        restarts, alarms = sum(t.restarts for t in told), sum(t.false_alarms for t in told)
        if restarts or any(t.injected for t in told):
            began = f"{fmt.plural(restarts, 'time')} a node found itself corrupt and began anew"
            causes = f", {alarms} of them without a cause{_damage(arm, clean)}."
            lines.append(f"{arm.name}: {_rate(arm.runs[0])}{began}{causes}")
    return tuple(lines)


def _rate(run: Run) -> str:
    upsets = tomllib.loads(run.recipe).get("faults", {}).get("upsets", {})
    if not upsets.get("per_bit_hour"):
        return ""
    rate, exposed = upsets["per_bit_hour"], upsets.get("parameters", run.summary.parameters_flown)
    per_trained = rate * exposed / run.summary.parameters_trained
    told = f"{rate:.2g} a bit and hour of {fmt.count(exposed)} parameters a satellite, which is {per_trained:.2g} a bit"
    weighed = upsets["anomaly_factor"] != 1 or "doubling_km" in upsets
    return f"{told} of the trained model{', before it is weighed by place' if weighed else ''}; "


def _damage(arm: Arm, clean: Arm | None) -> str:
    paired = None if clean is None or arm is clean else paired_loss(arm, clean)
    if paired is None:
        return ""
    interval = "" if paired.half_width is None else f" ± {100 * paired.half_width:.1f}"
    return f"; loss {fmt.signed_percent(paired.mean)}{interval} against the same trace without flips in replicas"
