"""The global model: all live versions of its fragments, of which every worker holds the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import torch
from torch import Tensor

from orbital_train.schedule.values import global_value
from orbital_train.train.flat import Layout
from orbital_train.train.outer import GlobalState, initial_state
from orbital_train.train.spec import OuterSpec

_PARAMETERS = "parameters"


class Versions:
    """States of fragments by fragment and version, from version 0 of all on. Suffix P: all of the model."""

    def __init__(self, layout: Layout, initial_P: Tensor, spec: OuterSpec) -> None:
        self._layout, self._device = layout, initial_P.device
        self._states = {
            global_value(fragment, 0): initial_state(
                layout.take(initial_P, fragment).clone(), spec, layout.fragment_trained(fragment)
            )
            for fragment in range(len(layout.fragments))
        }

    def get(self, fragment: int, version: int) -> GlobalState:
        """One version of a fragment."""
        return self._states[global_value(fragment, version)]

    def named(self, value: str) -> GlobalState:
        """The same by the name of its value."""
        return self._states[value]

    def put(self, fragment: int, version: int, state: GlobalState) -> None:
        """Hold a new version of a fragment."""
        self._states[global_value(fragment, version)] = state

    def __contains__(self, name: str) -> bool:
        """Whether a version is held, by the name of its value."""
        return name in self._states

    def drop(self, name: str) -> None:
        """Forget a version, by the name of its value."""
        del self._states[name]

    def whole_P(self, versions: tuple[int, ...]) -> Tensor:
        """Vector of the model that these versions of its fragments make up; of one fragment, its own vector."""
        if len(versions) == 1:
            return self.get(0, versions[0]).parameters_F
        whole_P = torch.empty(self._layout.size, device=self._device)
        for fragment, version in enumerate(versions):
            self._layout.put(whole_P, fragment, self.get(fragment, version).parameters_F)
        return whole_P

    def tensors(self) -> dict[str, Tensor]:
        """Everything that :meth:`load` needs, by name; it shares memory with the run."""
        return {
            f"{name}/{part}": tensor
            for name, state in self._states.items()
            for part, tensor in {_PARAMETERS: state.parameters_F, **state.outer}.items()
        }

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Become exactly what was saved; other tensors are left alone."""
        states: dict[str, dict[str, Tensor]] = defaultdict(dict)
        for key, tensor in tensors.items():
            name, _, part = key.rpartition("/")
            if name.startswith("global/"):  # counters are on the CPU, where they are read
                states[name][part] = tensor.to(self._device if tensor.dim() else "cpu", copy=True)
        self._states = {
            name: GlobalState(parameters_F=parts.pop(_PARAMETERS), outer=parts) for name, parts in states.items()
        }
