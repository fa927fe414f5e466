"""The tables of numbers: arms side by side, and seed by seed. Plain text cells, for the console and the HTML alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from orbital_train.report import fmt
from orbital_train.report.runs import Arm, Comparison, Run
from orbital_train.report.seeds import paired_loss, spread

REFERENCE = "fully_connected"  # the baseline that others are measured against
WITHOUT_FLIPS = "without_replica_flips"  # the recipe without those of its bit flips that no checksum finds


@dataclass(frozen=True, kw_only=True)
class Row:
    """One quantity: what it is, a remark on how it is counted, and one cell per arm."""

    label: str
    remark: str
    cells: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Table:
    """A header and rows of text."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def reference_arm(comparison: Comparison) -> Arm | None:
    """The fully connected baseline, if the comparison has it."""
    return next((a for a in comparison.arms if a.name.split(": ")[-1] == REFERENCE), None)


def result_rows(comparison: Comparison) -> tuple[Row, ...]:
    """The results, one column an arm: means over the seeds; the final loss with its standard deviation."""
    arms, reference = comparison.arms, reference_arm(comparison)

    def row(label: str, remark: str, cell: Callable[[Arm], str]) -> Row:
        return Row(label=label, remark=remark, cells=tuple(cell(arm) for arm in arms))

    def tokens(key: str) -> Callable[[Arm], str]:
        return lambda arm: fmt.count(arm.mean(key) * arm.runs[0].summary.tokens_per_step_trained)

    several = max(len(arm.runs) for arm in arms) > 1
    how = "nats; mean ± standard deviation over seeds" if several else "nats"
    loss_rows = [row("final validation loss", how, _final_loss)]
    bytes_rows = [row("link bytes", "simulated, flown model, all hops", lambda a: fmt.data_bytes(a.mean("link_bytes")))]
    time_rows = [row("simulated time", "", lambda a: fmt.duration(a.mean("simulated_s")))]
    if reference is not None and len(arms) > 1:
        name = reference.name
        how = "paired by seed, ± 95 % interval" if several else ""
        loss_rows.append(row(f"loss against {name}", how, _against(reference)))
        bytes_rows.append(row(f"bytes against {name}", "", _ratio(reference, "link_bytes", fmt.fewer)))
        time_rows.append(row(f"time against {name}", "", _ratio(reference, "simulated_s", fmt.times)))
    return (
        *loss_rows,
        *bytes_rows,
        *time_rows,
        row("duty", "steps allowed by energy and outages ÷ always powered", lambda a: fmt.percent(a.mean("duty"))),
        row("goodput", "steps merged ÷ steps allowed", lambda a: fmt.percent(a.mean("goodput"))),
        row("budget merged", "steps merged ÷ step budget", _budget),
        row("tokens merged", "trained model", tokens("merged_steps")),
        row("tokens trained", "trained model", tokens("trained_steps")),
        row("tokens lost", "trained, never merged", tokens("lost_steps")),
        row("merges", "", lambda a: fmt.count(a.mean("merges"))),
        row("inner steps between merges", "mean", _inner_steps),
        row("wall time", "of the real training", lambda a: fmt.duration(a.mean("wall_s"))),
    )


def _final_loss(arm: Arm) -> str:
    deviation = spread(arm, "final_loss")
    text = fmt.loss(arm.mean("final_loss"))
    return text if deviation is None else f"{text} ± {fmt.loss(deviation)}"


def _against(reference: Arm) -> Callable[[Arm], str]:
    def cell(arm: Arm) -> str:
        paired = paired_loss(arm, reference)
        if arm is reference or paired is None:
            return fmt.NONE
        text = fmt.signed_percent(paired.mean)
        return text if paired.half_width is None else f"{text} ± {100 * paired.half_width:.1f}"

    return cell


def _ratio(reference: Arm, key: str, say: Callable[[float], str]) -> Callable[[Arm], str]:
    base = reference.mean(key)
    return lambda arm: fmt.NONE if arm is reference or base == 0 else say(arm.mean(key) / base)


def _budget(arm: Arm) -> str:
    return fmt.percent(arm.mean("merged_steps") / arm.mean("budget_steps"))


def _inner_steps(arm: Arm) -> str:
    known = [r.summary.mean_inner_steps for r in arm.runs if r.summary.mean_inner_steps is not None]
    return fmt.significant(sum(known) / len(known)) if known else fmt.NONE


def seed_table(comparison: Comparison) -> Table:
    """Every run by itself, with the digest of its final weights."""
    header = ("arm", "seed", "final loss", "link bytes", "simulated", "merges", "stalest", "merged steps",
              "lost steps", "learning rates", "workers", "wall", "digest")  # fmt: skip
    return Table(header=header, rows=tuple(_seed_row(arm, run) for arm in comparison.arms for run in arm.runs))


def _seed_row(arm: Arm, run: Run) -> tuple[str, ...]:
    s = run.summary
    return (
        arm.name,
        str(s.seed),
        fmt.loss(s.final_loss),
        fmt.data_bytes(s.link_bytes),
        fmt.duration(s.simulated_s),
        str(s.merges),
        fmt.NONE if s.max_staleness is None else str(s.max_staleness),
        str(s.merged_steps),
        str(s.lost_steps),
        ", ".join(f"{key.removesuffix('_lr')} {value:g}" for key, value in s.tuned.items()) or fmt.NONE,
        f"{s.workers} × {s.device}",
        fmt.duration(s.wall_s),
        s.digest[:12],
    )
