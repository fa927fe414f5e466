"""A Ray cluster for a run: one that is running already, or one started here and ended after it."""

from __future__ import annotations

import logging
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import ray
from ray.exceptions import AuthenticationError

from orbital_train.errors import InputError
from orbital_train.train import estimate

REACH_S = 10.0  # to be connected to a running cluster; Ray itself would try for minutes


@contextmanager
def ray_session(address: str | None, cpus: int, object_store_bytes: int = estimate.LEAST_STORE_BYTES) -> Iterator[None]:
    """Be connected to Ray.

    Args:
        address: of a running cluster as host:port, or ``auto`` for the one that this machine belongs to; None starts
            one on this machine, without a dashboard.
        cpus: logical CPUs of a cluster that is started here; there may be more of them than cores.
        object_store_bytes: shared memory of such a cluster, at most; it is taken only as it is needed.

    Raises:
        InputError: there is no cluster at ``address``, or it cannot be joined.
    """
    if ray.is_initialized():
        yield
        return
    if address is None:
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    elif address != "auto":
        _check_reachable(address)
    try:
        if address is None:
            ray.init(
                num_cpus=cpus,
                include_dashboard=False,
                object_store_memory=object_store_bytes,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        else:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, AuthenticationError) as error:
        first = str(error).splitlines()[0]
        problem = f"cannot be joined: {first}; RAY_AUTH_TOKEN must hold the cluster's token"
        raise InputError("cluster.address", address, problem) from None
    try:
        yield
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise InputError("cluster.address", address, "must be host:port of a running Ray cluster, or auto")
    try:
        socket.create_connection((host, int(port)), timeout=REACH_S).close()
    except (OSError, OverflowError) as error:
        raise InputError("cluster.address", address, f"no Ray cluster can be reached there: {error}") from None
