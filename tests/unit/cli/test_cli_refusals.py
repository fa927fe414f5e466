"""Numbers that are not finite are told in the summary."""

import json
from pathlib import Path

from orbital_train.cli.planning import fly
from orbital_train.cli.refusals import refusals
from orbital_train.config import build
from orbital_train.train.run import run_local
from tests import small


def test_who_in_which_step_and_how_often(tmp_path: Path):
    """Of a run whose rate is far too large, and to its end."""
    recipe = small.recipe(tmp_path, "inner.optimizer=SGD", "inner.lr=1000.0", "inner.clip_norm=0.0")
    flight = fly(recipe)
    rows = run_local(flight.trace, build.train_spec(recipe)).rows
    assert rows[-1]["event"] == "evaluate"
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    *stops, refused = refusals(metrics, flight.trace)
    first = next(row for row in rows if row["event"] == "stop")
    name = flight.trace.accounts[first["node"]].name
    assert stops[0].startswith(f"{name} was stopped: in its inner step {first['step']}, after ")
    assert stops[0].endswith(", the loss is not finite")
    assert refused == f"{sum(row['event'] == 'refuse' for row in rows)} contributions were refused: it is not finite"


def test_nothing_where_all_is_well(tmp_path: Path):
    recipe = small.recipe(tmp_path)
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text('{"event":"step","node":0,"loss":3.0}\n{"event":"merge"}\n', encoding="utf-8")
    assert refusals(metrics, fly(recipe).trace) == []
