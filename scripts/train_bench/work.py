"""What the benches train, and in what: the quickstart's model and data on ideal links."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from orbital_train.cli.planning import fly, ideal_survey, survey
from orbital_train.config.load import load_recipe, with_values
from orbital_train.config.recipe import Recipe
from orbital_train.schedule.trace import Trace
from orbital_train.train.inner import lr_at
from orbital_train.train.problem import Problem
from orbital_train.train.spec import InnerSpec, TrainSpec

ROOT = Path(__file__).resolve().parents[2]


def ideal_recipe(nodes: int, steps: int, inner_steps: int, **values: Any) -> Recipe:
    """So many nodes, and inner steps of each; DiLoCo with float32 outer gradients."""
    fleet = {"fleet.satellites": nodes, "fleet.planes": nodes, "fleet.phasing": 0, "ground_sites": []}
    wire = {"workload.codec": "fp32"}
    schedule = {"policy": "fixed_period", "budget_steps": steps * nodes, "inner_steps": inner_steps, "evaluations": 1}
    recipe = load_recipe(ROOT / "recipes" / "quickstart.toml")
    return with_values(recipe, fleet | wire | {f"schedule.{key}": value for key, value in schedule.items()} | values)


def ideal_trace(recipe: Recipe) -> Trace:
    """Of links that take no time."""
    return fly(recipe, ideal_survey(survey(recipe), recipe)).trace


def barely_validated(problem: Problem) -> Problem:
    """The same with one batch for validation, which a plain loop has not."""
    return replace(problem, validation=problem.validation[:1])


def plain_optimizer(model: nn.Module, spec: InnerSpec) -> torch.optim.AdamW:
    """As one writes it by hand: weight decay for matrices only."""
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": spec.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=spec.lr, betas=(spec.beta1, spec.beta2), fused=True)


def plain_step(
    model: nn.Module, optimizer: torch.optim.AdamW, problem: Problem, spec: TrainSpec, at: tuple[int, int, float]
) -> None:
    """An inner step as one writes it by hand; ``at`` is node, step, and progress."""
    node, step, progress = at
    for group in optimizer.param_groups:
        group["lr"] = lr_at(spec.inner, progress)
    optimizer.zero_grad(set_to_none=True)
    model(*problem.batch(node, step)).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), spec.inner.clip_norm)
    optimizer.step()
