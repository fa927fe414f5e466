"""Models and data that will not do are told in one line, before any worker starts and before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.command import unchanged
from tests.unit.train import own

OWN = own.__name__
LINE, POINTS = f'model={{kind="{OWN}:Line"}}', f'data={{kind="{OWN}:Points"}}'


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (
            ["model.kind=lama"],
            "model.kind = 'lama': must be one of gpt, llama, mlp, cnn, hf, or package.module:function"
            " with --import package.module",
        ),
        (["model.kind=3"], "model.kind = '3': must be one of gpt, llama, mlp, cnn, hf, or package.module:function"),
        (["data=3"], "data = 3: must be a table"),
        (["model.layer=3"], "model.layer = 3: unknown key; did you mean layers?"),
        (
            ['model={kind="llama", context=16}'],
            "model.context = 16: unknown key; accepted: kind, layers, heads, kv_heads, width, hidden, rope_theta",
        ),
        (['model={kind="llama", heads=4, kv_heads=3}'], "model.kv_heads = 3: must divide the 4 heads evenly"),
        (
            ['model={kind="llama", width=12}'],
            "model.width = 12: must be a multiple of twice the 4 heads: rotary positions turn pairs",
        ),
        (['model={kind="mlp", widths=[0]}'], "model.widths.0 = 0: must be greater than or equal to 1"),
        (['model={kind="cnn", channels=[]}'], "model.channels = []: must not be empty"),
        (
            ['model={kind="a.b:c", layers=3}'],
            "model.layers = 3: unknown key; accepted: kind, arguments",
        ),
        (["data.sha256=12"], "data.sha256 = 12: must be a valid string"),
        (['data={kind="digits", seed=1}'], "data.seed = 1: unknown key; accepted: validation_fraction, shards, kind"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
@pytest.mark.parametrize("command", ["plan", "train"])
def test_what_is_wrong_with_the_tables(
    tmp_path: Path, recipe: Path, command: str, overrides: list[str], told: str
) -> None:
    settings = [part for override in overrides for part in ("--set", override)]
    line = unchanged(tmp_path, command, recipe, *settings, "--out", tmp_path / "out")
    assert line.startswith(f"{recipe}: {told}")


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (
            [LINE],
            f"model.kind = '{OWN}:Line': a recipe alone runs no code: allow this module with --import {OWN}",
        ),
        ([LINE, "--import", OWN.rpartition(".")[0]], f"model.kind = '{OWN}:Line': a recipe alone runs no code: "),
        (
            ['model={kind="nowhere:f"}', "--import", "nowhere"],
            "model.kind = 'nowhere:f': nowhere cannot be imported: No module named 'nowhere'",
        ),
        (
            [f'model={{kind="{OWN}:Line", arguments={{slop=1}}}}', "--import", OWN],
            f"model.arguments = {{'slop': 1}}: {OWN}:Line(slope, inputs): got an unexpected keyword argument 'slop'",
        ),
        (
            [f'model={{kind="{OWN}:empty"}}', "--import", OWN],
            f"model.kind = '{OWN}:empty': has no parameters to train",
        ),
        (
            [LINE, "--import", OWN],
            f"model.kind = '{OWN}:Line': does not take the batches of text, int64 (2, 64) and int64 (2, 64): "
            "RuntimeError: mat1 and mat2 ",
        ),
        (
            ["data.context=17"],
            "model.kind = 'gpt': does not take the batches of text, int64 (2, 17) and int64 (2, 17): RuntimeError: "
            "The size of tensor a (17) must match the size of tensor b (16) at non-singleton dimension 1",
        ),
        (
            [POINTS, "--import", OWN],
            "model.kind = 'gpt': needs vocabulary_size, which neither model.arguments nor the data has",
        ),
        (
            ['model={kind="mlp"}', 'data={kind="digits"}', "inner.batch_size=270"],
            "inner.batch_size = 270: a batch is larger than a node's shard of 269 images",
        ),
        (
            ['model={kind="mlp"}'],
            "model.kind = 'mlp': needs example_shape, which neither model.arguments nor the data has",
        ),
        (
            ['model={kind="cnn", channels=[4, 4, 4, 4]}', 'data={kind="digits"}'],
            "model.channels = [4, 4, 4, 4]: 4 stages halve images of 16 x 16 pixels or more;",
        ),
    ],
    ids=[
        "not-allowed", "another-allowed", "no-module", "arguments", "empty", "shapes", "context", "no-tokens",
        "batch", "no-images", "too-deep",
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["train", "compare"])
def test_what_is_wrong_with_model_and_data(
    tmp_path: Path, recipe: Path, command: str, overrides: list[str], told: str
) -> None:
    settings = [part for o in overrides for part in (("--set", o) if "=" in o else (o,))]
    line = unchanged(tmp_path, command, recipe, *settings, "--out", tmp_path / "out")
    assert line.startswith(f"{recipe}: {told}")
