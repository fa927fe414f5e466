"""The results as Markdown: claims with their targets, and the grid of every arm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from orbital_train.errors import InputError
from orbital_train.report.seeds import Paired, paired
from scripts.convergence.arms import INNER_LRS, OUTER_LRS, OUTER_MOMENTA, Arm, Claim
from scripts.convergence.results import Point, Results
from scripts.convergence.runs import recipe_of

AXES = {"inner.lr": INNER_LRS, "outer.lr": OUTER_LRS, "outer.momentum": OUTER_MOMENTA}
NONE = "–"


def markdown(claims: Sequence[Claim], results: Results) -> str:
    """Both tables."""
    arms = list(dict.fromkeys(arm for claim in claims for arm in (claim.against, claim.arm)))
    return "\n".join([*_claims(claims, results), "", *_grids(arms, results)])


def refusal(arm: Arm) -> str | None:
    """Why an arm cannot be run with this version, if it cannot."""
    try:
        recipe_of(arm)
    except InputError as error:
        return str(error)
    return None


def verdict(difference: Paired, target: float | None) -> str:
    """Whether a claim holds: with its whole interval, or no more than its mean."""
    if target is None:
        return NONE
    half_width = difference.half_width
    if half_width is None:
        return "one seed"
    if difference.mean + half_width <= target:
        return "yes"
    if difference.mean - half_width > target:
        return "no"
    return "the mean does" if difference.mean <= target else "the mean does not"


def _claims(claims: Sequence[Claim], results: Results) -> Iterator[str]:
    yield "| claim | target | measured, 95 % | seeds | loss | against | fewer bytes | holds |"
    yield "|---|---|---|---|---|---|---|---|"
    for claim in claims:
        yield "| " + " | ".join(_cells(claim, results)) + " |"


def _cells(claim: Claim, results: Results) -> list[str]:
    target = NONE if claim.target is None else f"≤ {claim.target:+.1%}"
    if claim.fewer_bytes:
        target += f" at ≥ {claim.fewer_bytes:g} ×"
    if problem := refusal(claim.arm) or refusal(claim.against):
        return [claim.text, target, f"skipped: {problem}", *[NONE] * 5]
    losses, base = results.judged(claim.arm), results.judged(claim.against)
    difference = paired(losses, base)
    if difference is None:
        return [claim.text, target, "not run yet", *[NONE] * 5]
    shared = [seed for seed in losses if seed in base]
    return [
        claim.text,
        target,
        _percent(difference),
        str(difference.seeds),
        f"{_mean(losses, shared):.4f}",
        f"{_mean(base, shared):.4f}",
        f"{_link_bytes(claim.against, results) / _link_bytes(claim.arm, results):.0f} ×",
        verdict(difference, claim.target),
    ]


def _percent(difference: Paired) -> str:
    spread = "" if difference.half_width is None else f" ± {100 * difference.half_width:.2f}"
    return f"{100 * difference.mean:+.2f}{spread} %"


def _mean(losses: Mapping[int, float], seeds: Sequence[int]) -> float:
    return sum(losses[seed] for seed in seeds) / len(seeds)


def _link_bytes(arm: Arm, results: Results) -> float:
    found: float = results.runs(arm)[0]["link_bytes"]
    return found


def _grids(arms: Sequence[Arm], results: Results) -> Iterator[str]:
    """One row an arm; the losses of its points, the best one bold, with ``*`` where that is at an edge of the grid."""
    points = [(inner, outer, momentum) for inner in INNER_LRS for outer in OUTER_LRS for momentum in OUTER_MOMENTA]
    yield "| arm | " + " | ".join(f"{i:g}, {o:g}, {m:g}" for i, o, m in points) + " |"
    yield "|---" * (1 + len(points)) + "|"
    for arm in arms:
        tried = {_key(tuned.point): tuned.loss for tuned in results.grid(arm)}
        best = results.best(arm)
        chosen = None if best is None else _key(best.point)
        keys = points if arm.outer else [(inner, None, None) for inner, *_ in points]
        cells, seen = [], set()
        for key in keys:
            cells.append(NONE if key in seen else _cell(tried.get(key), bold=key == chosen))
            seen.add(key)
        edge = "" if best is None else _edges(best.point)
        yield f"| {arm.name}{edge} | " + " | ".join(cells) + " |"


def _key(point: Point) -> tuple[float | None, ...]:
    return tuple(point.get(axis) for axis in AXES)


def _cell(loss: float | None, *, bold: bool) -> str:
    if loss is None:
        return NONE
    return f"**{loss:.4f}**" if bold else f"{loss:.4f}"


def _edges(point: Point) -> str:
    """The inner rates alone are more than two: of these an edge says that a better one may lie outside."""
    return " *" if point["inner.lr"] in (min(INNER_LRS), max(INNER_LRS)) else ""
