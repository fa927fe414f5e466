"""MLP and CNN on real images."""

import math
from pathlib import Path

import pytest
import torch

from orbital_train.errors import InputError
from orbital_train.train.data.digits import DigitData, digits
from orbital_train.train.export import read_model, write_model
from orbital_train.train.models.cnn import cnn
from orbital_train.train.models.mlp import mlp
from orbital_train.train.problem import Problem, problem_of
from orbital_train.train.run import run_local
from orbital_train.train.spec import OuterSpec
from tests.unit.train.problems import tiny_spec
from tests.unit.train.thread_workers import Group
from tests.unit.train.traces import rounds_trace

NODES = (0, 1, 2, 3)


def images(batch_size: int = 32, shards: str = "interleaved") -> DigitData:
    return digits(nodes=NODES, batch_size=batch_size, seed=1, validation_fraction=0.2, shards=shards)


def test_the_first_loss_is_that_of_a_guess() -> None:
    torch.manual_seed(1)
    (x, y_B), *_ = images().validation()
    for model in (mlp(example_shape=(1, 8, 8), classes=10, widths=[64]),
                  cnn(example_shape=(1, 8, 8), classes=10, channels=[8, 16])):  # fmt: skip
        assert model(x, y_B).item() == pytest.approx(math.log(10), abs=0.15)


def test_no_hidden_layer_is_a_linear_classifier() -> None:
    model = mlp(example_shape=(1, 8, 8), classes=10, widths=[])
    assert [tuple(p.shape) for p in model.parameters()] == [(10, 64), (10,)]


def test_images_too_small_for_the_stages() -> None:
    with pytest.raises(InputError) as caught:
        cnn(example_shape=(1, 8, 8), classes=10, channels=[4, 4, 4, 4])
    assert str(caught.value) == (
        "model.channels = [4, 4, 4, 4]: 4 stages halve images of 16 x 16 pixels or more;"
        " an example has the shape (1, 8, 8)"
    )


def test_four_nodes_learn_to_read_digits() -> None:
    """Nothing is specific to text: most held-out digits, by other writers, are read after 240 steps of each node."""
    torch.manual_seed(1)
    spec = tiny_spec(batch_size=32, outer=OuterSpec(lr=1.0, momentum=0.0))
    model = mlp(example_shape=(1, 8, 8), classes=10, widths=[64])
    result = run_local(rounds_trace(NODES, rounds=8, steps=30), spec, problem_of(model, images(), "cpu"))
    assert result.losses[-1] < 0.4
    model.load_state_dict(result.parameters)
    (x, y_B), *_ = images().validation()
    assert (model.layers(x).argmax(1) == y_B).float().mean() > 0.87


def test_digits_of_a_node_are_its_own() -> None:
    """1,797 images, of which 359 are held out: 359 for each of four nodes, and two are left over."""
    data = images()
    seen = {node: set() for node in NODES}
    data.digits_N = torch.arange(1797)
    for node in NODES:
        for step in range(200):
            seen[node] |= set(data.batch(node, step)[1].tolist())
    assert all(k % 4 == node for node in NODES for k in seen[node])
    assert {len(found) for found in seen.values()} == {359}
    assert data.validation()[0][1].tolist() == list(range(1438, 1797))
    stretches = images(shards="contiguous")
    stretches.digits_N = torch.arange(1797)
    assert set(stretches.batch(2, 0)[1].tolist()) <= set(range(718, 1077))


def test_batches_of_images_are_what_is_promised() -> None:
    x, y_B = images().batch(3, 5)
    assert (x.shape, x.dtype, y_B.shape, y_B.dtype) == ((32, 1, 8, 8), torch.float32, (32,), torch.int64)
    assert (x.min().item(), x.max().item()) == (0.0, 1.0)
    assert torch.equal(images().batch(3, 5)[0], x)
    assert not torch.equal(images().batch(3, 6)[0], x)


def test_a_batch_larger_than_a_shard_of_images() -> None:
    images(batch_size=359)
    with pytest.raises(InputError) as caught:
        images(batch_size=360)
    assert str(caught.value) == "inner.batch_size = 360: a batch is larger than a node's shard of 359 images"


def test_batch_norm_uses_its_running_statistics_where_it_is_evaluated() -> None:
    """The loss of an evaluation is that of the module in evaluation mode, whatever the batch's own statistics."""
    torch.manual_seed(1)
    model = cnn(example_shape=(1, 8, 8), classes=10, channels=[8, 16])
    result = run_local(rounds_trace(NODES, rounds=1, steps=5), tiny_spec(batch_size=32),
                       problem_of(model, images(), "cpu"))  # fmt: skip
    assert int(model.layers[1].num_batches_tracked) > 0
    (x, y_B), *_ = images().validation()
    with torch.no_grad():
        assert model.eval()(x, y_B).item() == pytest.approx(result.losses[-1], rel=1e-6)
        assert model.train()(x, y_B).item() != pytest.approx(result.losses[-1], rel=1e-3)


def test_a_cnn_has_the_same_bits_on_any_number_of_workers_and_its_files_the_same_loss(tmp_path: Path) -> None:
    """With its running statistics, which are merged as buffers are."""
    spec, trace = tiny_spec(batch_size=32), rounds_trace(NODES, rounds=3, steps=5)

    def problem() -> Problem:
        torch.manual_seed(1)
        return problem_of(cnn(example_shape=(1, 8, 8), classes=10, channels=[8, 16]), images(), "cpu")

    digests, losses = set(), set()
    for workers in (1, 2, 4):
        group = Group.of(trace, spec, problem, workers)
        group.run(spec)
        digests |= {executor.digest() for executor in group.executors}
        losses.add([row["loss"] for row in group.all_rows() if row["event"] == "evaluate"][-1])
    assert len(digests) == len(losses) == 1
    write_model(group.executors[1].final_module(), tmp_path)
    again = problem()
    read_model(again.module, tmp_path)
    with torch.no_grad():
        assert again.module.eval()(*again.validation[0]).item() == pytest.approx(losses.pop(), rel=1e-6)
