"""The arms of the convergence table, and the claims that compare two of them.

Every arm is one recipe with some keys changed, tuned on the same grid. All train the small GPT (2 layers, width 64,
108,000 parameters) on 4 sequences of 64 characters a node and step, which takes two CPU cores about 5 ms; budgets are
such that the shortest run has 20 rounds of H = 30.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).resolve().parents[2]
BASE = Path("scripts/convergence/base.toml")
RING, STAR = Path("tests/scenarios/ring_12.toml"), Path("tests/scenarios/star_24.toml")
BUDGET, SKY_BUDGET = 12_000, 24_000  # inner steps of the fleet
# With steps four times as long as in the scenarios a budget lasts 8 orbits on the ring and 3 on the star, not 2 and 1.
SKY_TOKENS_PER_STEP = 4 * 32_768

INNER_LRS = (4e-3, 8e-3, 1.6e-2)
OUTER_LRS = (0.7, 1.0)
OUTER_MOMENTA = (0.4, 0.8)


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One way to train."""

    name: str
    recipe: Path = BASE  # from the project's root
    values: Mapping[str, Any] = field(default_factory=dict, hash=False)  # where it differs from the recipe
    sky: Literal["ideal", "real"] = "ideal"
    dropped: float = 0.0  # part of the contributions that do not get through, at random
    slow_nodes: int = 0  # the last ones, which train at half the speed
    outer: bool = True  # has an outer optimizer

    @property
    def grid(self) -> tuple[dict[str, float], ...]:
        """The points that it is tuned on: recipe keys and their values."""
        if not self.outer:
            return tuple({"inner.lr": lr} for lr in INNER_LRS)
        return tuple(
            {"inner.lr": inner, "outer.lr": outer, "outer.momentum": momentum}
            for inner, outer, momentum in product(INNER_LRS, OUTER_LRS, OUTER_MOMENTA)
        )

    def definition(self) -> dict[str, Any]:
        """All that its results depend on, beside the code: as JSON has it."""
        recipe = (ROOT / self.recipe).read_text(encoding="utf-8")
        rest = {"sky": self.sky, "dropped": self.dropped, "slow_nodes": self.slow_nodes}
        return {"recipe": recipe, "values": dict(self.values), **rest}


@dataclass(frozen=True, kw_only=True)
class Claim:
    """How much more loss ``arm`` may have than ``against``, relative to it; None: it is shown, and nothing claimed."""

    key: str
    text: str
    arm: Arm
    against: Arm
    target: float | None
    fewer_bytes: float | None = None  # at least so many times


def _fleet(nodes: int, budget: int) -> dict[str, Any]:
    return {"fleet.satellites": nodes, "fleet.planes": nodes, "schedule.budget_steps": budget}


def _data_parallel(nodes: int, name: str = "data_parallel", budget: int = BUDGET, **values: Any) -> Arm:
    policy = {"schedule.policy": "fully_connected"}
    return Arm(name=f"{name}_{nodes}", values=_fleet(nodes, budget) | policy | values, outer=False)


def _diloco(nodes: int, name: str = "diloco", budget: int = BUDGET, **values: Any) -> Arm:
    return Arm(name=f"{name}_{nodes}", values=_fleet(nodes, budget) | values)


def _in_the_sky(recipe: Path, budget: int) -> tuple[Arm, Arm, Arm]:
    """``link_aware`` in a scenario, the same on ideal links, and data parallel; int8 against float32 on the wire."""
    values = {
        "schedule.budget_steps": budget,
        "schedule.evaluations": 1,
        "workload.tokens_per_step": SKY_TOKENS_PER_STEP,
        "workload.codec": "int8",
    }
    plain = values | {"schedule.policy": "fully_connected", "workload.codec": "fp32"}
    return (
        Arm(name=f"link_aware_{recipe.stem}", recipe=recipe, values=values, sky="real"),
        Arm(name=f"ideal_diloco_{recipe.stem}", recipe=recipe, values=values),
        Arm(name=f"fully_connected_{recipe.stem}", recipe=recipe, values=plain, outer=False),
    )


def claims(scale: float) -> tuple[Claim, ...]:
    """The table of claims; ``scale`` multiplies all budgets."""
    budget, sky_budget = round(BUDGET * scale), round(SKY_BUDGET * scale)
    one = _diloco(4, budget=budget)
    eight = _diloco(8, budget=budget)
    streaming = {"schedule.policy": "streaming"}
    whole = {"schedule.overlap_steps": 0, "schedule.alpha": 1.0}
    overlap = _diloco(4, "streaming_tau5", budget, **streaming)
    claims = [
        Claim(
            key="m4",
            text="M = 4, H = 30, equal tokens, against data parallel",
            arm=one,
            against=_data_parallel(4, budget=budget),
            target=0.02,
        ),
        Claim(
            key="m8",
            text="M = 8, H = 30, equal tokens, against data parallel",
            arm=eight,
            against=_data_parallel(8, budget=budget),
            target=0.039,
        ),
        Claim(
            key="drop",
            text="M = 8, 50 % of contributions dropped, against none",
            arm=Arm(name="dropped_8", values=eight.values, dropped=0.5),
            against=eight,
            target=0.021,
        ),
        *(
            Claim(
                key=codec,
                text=f"{text} outer gradients with error feedback, against fp32",
                arm=_diloco(4, codec, budget, **{"workload.codec": codec}),
                against=one,
                target=target,
            )
            for codec, text, target in (
                ("int8", "int8", 0.003),
                ("int4", "int4", 0.007),
                ("topk3", "top-k 3 %", 0.01),
            )
        ),
        Claim(
            key="overlap",
            text="overlap τ = 5 with α = 0.5, against the same fragments without overlap",
            arm=overlap,
            against=_diloco(4, "streaming_tau0", budget, **streaming, **whole),
            target=0.005,
        ),
        Claim(
            key="overlap_whole",
            text="the same, against DiLoCo (the whole model at once)",
            arm=overlap,
            against=one,
            target=None,
        ),
        Claim(
            key="async",
            text="asynchronous with Delayed Nesterov on 2:1 speeds, against synchronous",
            arm=Arm(
                name="asynchronous_4",
                values=_fleet(4, budget) | {"schedule.policy": "asynchronous"},
                slow_nodes=2,
            ),
            against=one,
            target=0.01,
        ),
    ]
    for recipe, text in ((RING, "12-node ring"), (STAR, "24-node star")):
        aware, ideal, connected = _in_the_sky(recipe, sky_budget)
        claims += [
            Claim(
                key=recipe.stem,
                text=f"`link_aware` on the {text}, against `ideal_diloco`",
                arm=aware,
                against=ideal,
                target=0.01,
            ),
            Claim(
                key=f"{recipe.stem}_bytes",
                text="the same, against fully connected",
                arm=aware,
                against=connected,
                target=0.04,
                fewer_bytes=100.0,
            ),
        ]
    return tuple(claims)


def calibration(scale: float) -> tuple[Claim, ...]:
    """What the size of the budget and the division of the data do to M = 4, H = 30, against data parallel."""
    found = []
    for shards in ("interleaved", "contiguous"):
        for part in (0.25, 0.5, 1.0):
            budget, values = round(BUDGET * scale * part), {"data.shards": shards} if shards == "contiguous" else {}
            # One of them is in the table of claims too, and run once.
            label = "" if part == 1.0 and shards == "interleaved" else f"_{shards}_{budget}"
            found.append(
                Claim(
                    key="calibration",
                    text=f"M = 4, H = 30, {shards} shards, {budget:,} steps",
                    arm=_diloco(4, f"diloco{label}", budget, **values),
                    against=_data_parallel(4, f"data_parallel{label}", budget, **values),
                    target=None,
                )
            )
    return tuple(found)
