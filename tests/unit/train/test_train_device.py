"""Device and numerics."""

import pytest
import torch

from orbital_train.errors import InputError
from orbital_train.train.device import CPU, choose_device, configure
from tests.unit.train.problems import tiny_spec


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_cuda_where_there_is_none() -> None:
    assert choose_device("auto") == choose_device("cpu") == CPU
    with pytest.raises(InputError, match="no CUDA device") as caught:
        choose_device("cuda")
    assert (caught.value.key, caught.value.value) == ("cluster.device", "cuda")


def test_configure_sets_threads_and_determinism() -> None:
    configure(tiny_spec(deterministic=False, threads_per_worker=2))
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == (2, False)
    configure(tiny_spec())
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == (1, True)
