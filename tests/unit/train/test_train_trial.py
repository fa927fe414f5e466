"""What is found about a model and its data before any worker starts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from orbital_train.errors import InputError
from orbital_train.train.data.text import TextData
from orbital_train.train.problem import build_data, build_model, build_problem, problem_of
from orbital_train.train.run import run_local
from orbital_train.train.spec import InnerSpec, Named, OuterSpec, TrainSpec
from orbital_train.train.trial import _activation_bytes, sketch, try_out
from tests.unit.train.problems import tiny_corpus, tiny_spec
from tests.unit.train.traces import rounds_trace

OWN = "tests.unit.train.own"


def own_spec(model: str = "Line", data: str = "Points", *, of_model: Any = None, of_data: Any = None) -> TrainSpec:
    return tiny_spec(
        model=Named(kind=f"{OWN}:{model}", arguments=of_model or {}),
        data=Named(kind=f"{OWN}:{data}", arguments=of_data or {}),
        batch_size=4,
        imports=(OWN,),
    )


def told(spec: TrainSpec) -> str:
    with pytest.raises(InputError) as caught:
        try_out(spec, timed=False)
    return str(caught.value)


def test_sizes() -> None:
    """A line through three inputs; what is kept of a batch of four beside itself is the four differences, squared."""
    trial = try_out(own_spec(of_model={"inputs": 3}, of_data={"inputs": 3}), timed=False)
    assert (trial.parameters, trial.tokens_per_step, trial.step_s) == (4, 4, None)
    assert trial.activation_bytes == 4 * 4


def test_activations_of_the_gpt_are_within_a_formula() -> None:
    """Of a block: two norms' inputs and outputs (4), queries, keys and values (3), attention's output and its
    projection (2), the expanded layer before and after GELU (8), its contraction (1) widths a token; of the head, the
    logits and what comes of them."""
    width, context, batch, vocabulary = 64, 32, 8, 11
    model = {"layers": 3, "heads": 4, "width": width, "context": context}
    spec = tiny_spec(model=Named(kind="gpt", arguments=model), batch_size=batch)
    data = TextData(tiny_corpus(), nodes=(0,), batch_size=batch, seed=0, context=context)
    found = _activation_bytes(spec, problem_of(build_model(spec, data), data, "cpu"))
    formula = 4 * batch * context * (3 * 18 * width + 3 * vocabulary)
    assert 0.7 * formula < found <= 1.1 * formula


def test_a_step_is_timed_if_asked_for() -> None:
    step_s = try_out(own_spec(), timed=True).step_s
    assert step_s is not None
    assert 0 < step_s < 1


@pytest.mark.parametrize(
    ("spec", "line"),
    [
        (own_spec(model="empty"), f"model.kind = '{OWN}:empty': has no parameters to train"),
        (
            own_spec(model="frozen"),
            f"model.kind = '{OWN}:frozen': layer.weight does not require a gradient; all parameters are trained",
        ),
        (
            own_spec(model="dropping"),
            f"model.kind = '{OWN}:dropping': 1 drops at random, which would differ with the number of workers;"
            " its p must be 0",
        ),
        (own_spec(model="number"), f"model.kind = '{OWN}:number': must give a torch.nn.Module; it gave int"),
        (
            own_spec(model="Outputs"),
            f"model.kind = '{OWN}:Outputs': module(*batch) must be the mean loss, a scalar with a gradient",
        ),
        (
            own_spec(data="number"),
            f"data.kind = '{OWN}:number': must give data with tokens_per_step, batch(node, step) and validation(),"
            " see docs/models.md; it gave int",
        ),
        (own_spec(data="Unchecked"), f"data.kind = '{OWN}:Unchecked': has no validation batches"),
        (own_spec(data="Arrays"), f"data.kind = '{OWN}:Arrays': must give batches that are tuples of tensors"),
        (
            own_spec(data="Stream"),
            f"data.kind = '{OWN}:Stream': gives another batch when asked again: it must be a pure function of the"
            " seed, the node and the step",
        ),
    ],
    ids=lambda value: value.model.kind.partition(":")[2] if isinstance(value, TrainSpec) else "",
)
def test_what_will_not_do(spec: TrainSpec, line: str) -> None:
    if "number" in spec.data.kind:
        spec = tiny_spec(model=spec.model, data=Named(kind=spec.data.kind), imports=spec.imports)
    assert told(spec) == line


def test_shapes_that_do_not_fit() -> None:
    line = told(own_spec(of_model={"inputs": 3}))
    assert line.startswith(
        f"model.kind = '{OWN}:Line': does not take the batches of {OWN}:Points, float32 (4, 1) and float32 (4, 1):"
        " RuntimeError: mat1 and mat2 shapes cannot be multiplied"
    )
    assert "\n" not in line


def test_a_language_model_wants_tokens() -> None:
    spec = tiny_spec(data=own_spec().data, imports=(OWN,))
    assert told(spec) == "model.kind = 'gpt': needs vocabulary_size, which neither model.arguments nor the data has"


def test_a_model_too_large_to_be_built() -> None:
    line = told(own_spec(of_model={"inputs": 10**13}))
    assert line.startswith(
        "model = {'kind': '" + OWN + ":Line', 'inputs': 10000000000000}: needs about 40000.0 GB for "
    )


def test_a_sketch_is_the_model_itself_where_it_must_be() -> None:
    data = build_data(own_spec(), (0,))
    assert all(p.is_meta for p in sketch(own_spec(), data).parameters())
    assert not any(p.is_meta for p in sketch(own_spec("Looking"), data).parameters())


def test_parameters_depend_on_the_seed_alone() -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    data = build_data(own_spec(), (0,))
    slopes = [
        build_model(replace(own_spec("random_line"), init_seed=seed), data).layer.weight.item() for seed in (5, 5, 6)
    ]
    assert slopes[0] == slopes[1] != slopes[2]
    assert torch.equal(torch.get_rng_state(), state)


def test_ones_own_model_and_data_are_trained() -> None:
    spec = replace(own_spec(), inner=InnerSpec(lr=0.1), outer=OuterSpec(lr=1.0, momentum=0.0))
    trace = rounds_trace((0, 1), rounds=6, steps=20)
    losses = run_local(trace, spec, build_problem(spec, (0, 1), "cpu")).losses
    assert losses[-1] < losses[0] / 10
