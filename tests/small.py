"""A small recipe of the tests' own: links, light and energy come and go, messages overlap with training."""

from __future__ import annotations

import hashlib
from pathlib import Path

from orbital_train.config.load import load_recipe
from orbital_train.config.recipe import Recipe

CORPUS = "".join(f"{i * 7919 % 10007} bits left node {i % 97}; light fades, links open.\n" for i in range(1500))
CORPUS_SHA256 = hashlib.sha256(CORPUS.encode()).hexdigest()

RECIPE = f"""name = "small"
description = "Six nodes in six planes"
assumptions = ["made up"]
[time]
start = 2026-03-20T00:00:00Z
horizon_h = 12.0
[fleet]
kind = "walker_delta"
satellites = 6
planes = 6
phasing = 5
altitude_km = 800.0
inclination_deg = 53.0
[links]
rate_gbps = 1.0
terminals = 2
maximum_rate_deg_s = 0.3
[power]
array_m2 = 3.0
battery_wh = 150.0
idle_w = 150.0
train_w = 700.0
transmit_w = 80.0
[workload]
parameters = 3e9
tokens_per_step = 1000
codec = "bf16"
step_s = 30.0
[schedule]
policy = "link_aware"
budget_steps = 600
inner_steps = 10
evaluations = 5
[model]
layers = 1
heads = 2
width = 16
context = 16
[data]
corpus = "corpus.txt"
sha256 = "{CORPUS_SHA256}"
validation_batches = 2
[inner]
batch_size = 2
[cluster]
device = "cpu"
"""


SKY_RECIPE = RECIPE.partition("[power]")[0]
"""Of the same fleet, the sky alone."""


def write_recipe(folder: Path, text: str = RECIPE) -> Path:
    """Write the recipe and its corpus."""
    (folder / "corpus.txt").write_text(CORPUS, encoding="utf-8")
    path = folder / "small.toml"
    path.write_text(text, encoding="utf-8")
    return path


def recipe(folder: Path, *overrides: str) -> Recipe:
    """The recipe with some keys changed, as on the command line."""
    return load_recipe(write_recipe(folder), overrides)
