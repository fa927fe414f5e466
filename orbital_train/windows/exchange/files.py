"""A contact plan from a file, whatever its format, as the plan of a scenario."""

from __future__ import annotations

import warnings
from dataclasses import fields, replace
from datetime import datetime
from pathlib import Path

import numpy as np

from orbital_train.errors import InputError, InputWarning
from orbital_train.windows.exchange.hdtn import hdtn_text, parse_hdtn
from orbital_train.windows.exchange.ion import ion_text, parse_ion
from orbital_train.windows.exchange.listed import PLAN_KEY, listed_plan
from orbital_train.windows.plan import ContactPlan

EXPORTS = {"hdtn": "contacts.json", "ion": "contacts.ion"}
"""Formats that a plan can be written in, and the usual names of their files."""

_SUFFIXES = ".parquet, .json (HDTN), .ion or .ionrc (ION)"
# A plan that says nothing about the last tenth of the scenario is taken to be too short for it.
_ENOUGH = 0.9


def plan_text(form: str, plan: ContactPlan, start: datetime) -> str:
    """A contact plan in one of the ``EXPORTS`` formats."""
    return hdtn_text(plan) if form == "hdtn" else ion_text(plan, start)


def read_contacts(
    path: Path, node_names: tuple[str, ...], satellites: int, start: datetime, horizon_s: float
) -> ContactPlan:
    """Read a contact plan for a scenario; the format goes by the name's suffix.

    Args:
        path: Parquet (``.parquet``), HDTN (``.json``) or ION (``.ion``, ``.ionrc``).
        node_names: of the scenario, satellites, then ground sites; a Parquet plan must have the same.
        satellites: how many of them are satellites.
        start: the scenario's start: the time 0 of plans that do not say otherwise.
        horizon_s: its length; contacts are cut to it.

    Raises:
        InputError: the file is missing or broken, does not fit the scenario's nodes, or has no contact within the
            horizon (key ``links.plan``; ``contact plan`` where a Parquet file is damaged or of another kind).
    """
    try:
        plan = _read(path, node_names, satellites, start, horizon_s)
    except FileNotFoundError:
        raise InputError(PLAN_KEY, str(path), "no such file") from None
    except OSError as error:
        raise InputError(PLAN_KEY, str(path), f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(PLAN_KEY, str(path), "is not UTF-8 text") from None
    if not len(plan):
        problem = f"has no contact between two nodes within the {horizon_s / 3600:g} h after {start.isoformat()}"
        raise InputError(PLAN_KEY, str(path), problem)
    last_s = float(plan.end_s.max())
    if last_s < _ENOUGH * horizon_s:
        problem = f"its last contact ends at {last_s / 3600:.2f} h, and the scenario at {horizon_s / 3600:g} h"
        warnings.warn(f"{PLAN_KEY} = {str(path)!r}: {problem}", InputWarning, stacklevel=2)
    return plan


def _read(path: Path, node_names: tuple[str, ...], satellites: int, start: datetime, horizon_s: float) -> ContactPlan:
    if path.suffix == ".parquet":
        return _fitted(path, ContactPlan.read(path), node_names, horizon_s)
    if path.suffix not in (".json", ".ion", ".ionrc"):
        raise InputError(PLAN_KEY, str(path), f"its format goes by its name; accepted are {_SUFFIXES}")
    text = path.read_text(encoding="utf-8")
    listed = parse_hdtn(path, text) if path.suffix == ".json" else parse_ion(path, text, start)
    return listed_plan(path, listed, node_names, satellites, horizon_s)


def _fitted(path: Path, plan: ContactPlan, node_names: tuple[str, ...], horizon_s: float) -> ContactPlan:
    """An exact plan, cut to the horizon of a scenario that has the same nodes."""
    if plan.node_names != node_names:
        problem = f"its nodes are {_short(plan.node_names)}; the recipe's are {_short(node_names)}"
        raise InputError(PLAN_KEY, str(path), problem)
    kept = slice(int(np.searchsorted(plan.start_s, horizon_s)))  # contacts are in the order of their starts
    columns = {f.name: getattr(plan, f.name)[kept] for f in fields(plan) if f.name not in ("node_names", "horizon_s")}
    columns["end_s"] = np.minimum(columns["end_s"], horizon_s)
    return replace(plan, horizon_s=horizon_s, **columns)


def _short(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:4])
    return f"{len(names)}: {shown}{', ...' if len(names) > 4 else ''}"
