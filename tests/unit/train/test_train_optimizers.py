"""Inner optimizers by name: what they see of the model, what they take, and state that is saved without a step."""

import pytest
import torch
from torch import Tensor, nn

from orbital_train.errors import InputError
from orbital_train.train.flat import Layout, flatten
from orbital_train.train.inner import Replica
from orbital_train.train.optimizers import check_optimizer, optimizer_names
from orbital_train.train.spec import InnerSpec

BY_NAME = [name for name in optimizer_names() if name not in ("AdamW", "Muon")]


class Small(nn.Module):
    """An embedding, a matrix, a stack of kernels and a vector."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.embedding = nn.Embedding(7, 4)
        self.hidden = nn.Linear(4, 6)
        self.kernels = nn.Conv1d(2, 3, 2, bias=False)
        for parameter in self.parameters():
            parameter.data.normal_(generator=generator)


LAYOUT = Layout.of(Small())


def replica(spec: InnerSpec) -> tuple[Replica, Tensor]:
    gradient_P = torch.zeros(LAYOUT.trained)
    return Replica(flatten(Small(), LAYOUT), gradient_P, LAYOUT, spec), gradient_P


def gradients(n: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(8)
    return [torch.randn(LAYOUT.trained, generator=generator) for _ in range(n)]


def stepped(spec: InnerSpec, n: int) -> Replica:
    trained, gradient_P = replica(spec)
    for gradient in gradients(n):
        gradient_P.copy_(gradient)
        trained.step(spec.lr)
    return trained


@pytest.mark.parametrize("name", ["AdamW", "Muon", *BY_NAME])
def test_state_is_saved_and_loaded_without_a_step(name: str) -> None:
    """At the start, where there is none yet, and later; also over the state of other steps."""
    spec = InnerSpec(lr=1e-2, optimizer=name, arguments={"momentum": 0.9} if name == "SGD" else {})
    for n in (0, 3):
        saved, (loaded, gradient_P) = stepped(spec, n), replica(spec)
        for gradient in gradients(2):
            gradient_P.copy_(-gradient)
            loaded.step(spec.lr)
        before = loaded.parameters_P.clone()
        loaded.load_optimizer_state(saved.optimizer_state())
        assert torch.equal(loaded.parameters_P, before)
        state, again = saved.optimizer_state(), loaded.optimizer_state()
        assert state.keys() == again.keys()
        assert bool(state) == (n > 0 or name == "Adagrad")  # which has zeros from the start
        assert all(torch.equal(state[key], again[key]) and state[key].dtype == again[key].dtype for key in state)
        shared = {tensor.data_ptr() for tensor in state.values()} & {tensor.data_ptr() for tensor in again.values()}
        assert shared == set()

        loaded.parameters_P.detach().copy_(saved.parameters_P)
        never_saved, never_saved_P = replica(spec)
        for gradient in gradients(n):
            never_saved_P.copy_(gradient)
            never_saved.step(spec.lr)
        for gradient in gradients(2):
            for each, each_P in ((loaded, gradient_P), (never_saved, never_saved_P)):
                each_P.copy_(gradient)
                each.step(spec.lr)
        assert torch.equal(loaded.parameters_P, never_saved.parameters_P)


@pytest.mark.parametrize("name", ["AdamW", "Muon", *BY_NAME])
def test_started_anew_it_is_as_new_but_for_its_parameters(name: str) -> None:
    spec = InnerSpec(lr=1e-2, optimizer=name, rewarm_steps=0)
    trained, (fresh, gradient_P) = stepped(spec, 2), replica(spec)
    fresh.parameters_P.detach().copy_(trained.parameters_P)
    trained.start_anew()
    assert trained.optimizer_state().keys() == fresh.optimizer_state().keys()
    gradient_P.copy_(gradients(2)[-1])  # the last one that the other has seen, and sees again
    for each in (trained, fresh):
        each.step(spec.lr)
    assert torch.equal(trained.parameters_P, fresh.parameters_P)


@pytest.mark.parametrize(("name", "arguments"), [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9, "nesterov": True}),
    ("NAdam", {"betas": (0.8, 0.9)}),
    ("Adafactor", {}),
])  # fmt: skip
def test_others_are_torchs_own_on_the_models_tensors(name: str, arguments: dict[str, object]) -> None:
    """Bit for bit; there is no decay unless it is asked for."""
    module = Small()
    optimizer = getattr(torch.optim, name)(module.parameters(), lr=0.1, **arguments)
    views = [LAYOUT.views(gradient) for gradient in gradients(4)]
    for gradient in views:
        for parameter_name, parameter in module.named_parameters():
            parameter.grad = gradient[parameter_name]
        optimizer.step()
    found = stepped(InnerSpec(lr=0.1, optimizer=name, arguments=arguments), 4)
    assert torch.equal(found.parameters_P, flatten(module, LAYOUT))


def test_muon_takes_matrices_and_adamw_the_rest() -> None:
    spec = InnerSpec(lr=0.1, weight_decay=0.2, optimizer="Muon", arguments={"momentum": 0.8})
    module = Small()
    muon = torch.optim.Muon(
        [module.hidden.weight], lr=0.1, weight_decay=0.2, momentum=0.8, adjust_lr_fn="match_rms_adamw"
    )
    matrices, vectors = [module.embedding.weight, module.kernels.weight], [module.hidden.bias]
    groups = [{"params": matrices, "weight_decay": 0.2}, {"params": vectors, "weight_decay": 0.0}]
    adamw = torch.optim.AdamW(groups, lr=0.1, betas=(spec.beta1, spec.beta2), fused=True)
    for gradient in gradients(4):
        for name, view in LAYOUT.views(gradient).items():
            module.get_parameter(name).grad = view
        muon.step()
        adamw.step()
    assert torch.equal(stepped(spec, 4).parameters_P, flatten(module, LAYOUT))


@pytest.mark.parametrize("spec", [
    InnerSpec(lr=0.1, weight_decay=0.5),
    InnerSpec(lr=0.1, weight_decay=0.5, optimizer="Muon"),
    InnerSpec(lr=0.1, optimizer="SGD", arguments={"weight_decay": 0.5}),
])  # fmt: skip
def test_only_matrices_decay(spec: InnerSpec) -> None:
    trained, _ = replica(spec)
    before = trained.parameters_P.clone()
    trained.step(spec.lr)  # on a gradient of zero
    torch.testing.assert_close(trained.parameters_P[: LAYOUT.matrix_size], before[: LAYOUT.matrix_size] * 0.95)
    assert torch.equal(trained.parameters_P[LAYOUT.matrix_size :], before[LAYOUT.matrix_size :])


def test_arguments_go_before_keys() -> None:
    spec = InnerSpec(lr=0.1, beta1=0.5, beta2=0.6)
    by_argument = InnerSpec(lr=0.1, arguments={"betas": (0.5, 0.6)})
    assert torch.equal(stepped(spec, 3).parameters_P, stepped(by_argument, 3).parameters_P)
    assert not torch.equal(stepped(spec, 3).parameters_P, stepped(InnerSpec(lr=0.1), 3).parameters_P)


@pytest.mark.parametrize(("spec", "message"), [
    (
        InnerSpec(lr=0.1, optimizer="Adamw"),
        "inner.optimizer = 'Adamw': must be one of ASGD, Adadelta, Adafactor, Adagrad, Adam, AdamW, Adamax, Muon, "
        "NAdam, RAdam, RMSprop, Rprop, SGD",
    ),
    (
        InnerSpec(lr=0.1, optimizer="LBFGS"),  # it needs a closure
        "inner.optimizer = 'LBFGS': must be one of ASGD, Adadelta, Adafactor, Adagrad, Adam, AdamW, Adamax, Muon, "
        "NAdam, RAdam, RMSprop, Rprop, SGD",
    ),
    (
        InnerSpec(lr=0.1, optimizer="SGD", arguments={"momentun": 0.9}),
        "inner.arguments.momentun = 0.9: SGD has no such argument; it has momentum, dampening, weight_decay, nesterov",
    ),
    (
        InnerSpec(lr=0.1, optimizer="SGD", arguments={"lr": 0.9}),
        "inner.arguments.lr = 0.9: SGD has no such argument; it has momentum, dampening, weight_decay, nesterov",
    ),
    (
        InnerSpec(lr=0.1, optimizer="SGD", arguments={"momentum": -1.0}),
        "inner.arguments = {'momentum': -1.0}: SGD does not take this: Invalid momentum value: -1.0",
    ),
    (
        InnerSpec(lr=0.1, arguments={"betas": (0.9,)}),
        "inner.arguments = {'betas': (0.9,)}: AdamW does not take this: tuple index out of range",
    ),
])  # fmt: skip
def test_what_is_refused(spec: InnerSpec, message: str) -> None:
    with pytest.raises(InputError) as caught:
        check_optimizer(spec)
    assert str(caught.value) == message
