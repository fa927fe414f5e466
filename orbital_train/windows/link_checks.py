"""What no links can be: checks of their specification, before anything is propagated."""

from __future__ import annotations

from collections.abc import Mapping

from orbital_train.errors import InputError
from orbital_train.windows.field_of_regard import FieldOfRegard
from orbital_train.windows.links import LinkSpec
from orbital_train.windows.rates import refuse_impossible
from orbital_train.windows.sites import SiteLinkSpec


def refuse_bad_links(spec: LinkSpec) -> None:
    """Refuse a specification that no fleet can fly.

    Raises:
        InputError: keys ``links.*`` and ``ground_sites``.
    """
    for name in ("max_range_m", "rate_bps", "max_rate_deg_s", "ground_rate_bps"):
        if not getattr(spec, name) > 0:
            raise InputError(f"links.{name}", getattr(spec, name), "accepted is a number above 0")
    if spec.terrestrial_bps is not None and not spec.terrestrial_bps > 0:
        raise InputError("links.terrestrial_bps", spec.terrestrial_bps, "accepted is a number above 0, or none")
    if spec.neighbours < 1:
        raise InputError("links.neighbours", spec.neighbours, "a satellite needs at least 1 to link to another")
    if spec.minimum_life_s < 0:
        raise InputError("links.minimum_life_s", spec.minimum_life_s, "accepted is 0 or more seconds")
    if spec.terminals < 1:
        raise InputError("links.terminals", spec.terminals, "a satellite needs at least 1 to link to another")
    if spec.acquisition_s < 0:
        raise InputError("links.acquisition_s", spec.acquisition_s, "accepted is 0 or more seconds")
    if not 0.0 <= spec.grazing_altitude_m <= 200e3:
        raise InputError("links.grazing_altitude_m", spec.grazing_altitude_m, "accepted is 0 to 200 km, in metres")
    if not 0.0 <= spec.ground_mask_deg < 90.0:
        raise InputError("links.ground_mask_deg", spec.ground_mask_deg, "accepted is 0 to below 90")
    if not 0.0 <= spec.sun_exclusion_deg < 90.0:
        raise InputError("links.sun_exclusion_deg", spec.sun_exclusion_deg, "accepted is 0 to below 90")
    if spec.rate_law is not None:
        refuse_impossible(spec.rate_law, spec.max_range_m)
    _refuse_bad_fields(spec)
    _refuse_bad_sites(spec.site_links)


def _refuse_bad_fields(spec: LinkSpec) -> None:
    fields = spec.fields_of_regard
    if not fields:
        return
    if len(fields) != spec.terminals:
        problem = f"accepted is one for each terminal, and links.terminals is {spec.terminals}"
        raise InputError("links.fields_of_regard", f"{len(fields)} fields", problem)
    if spec.topology == "nearest" and not spec.one_field:
        problem = "with topology 'nearest' any terminal serves any link: all of them need the same field"
        raise InputError("links.fields_of_regard", f"{len(set(fields))} different fields", problem)
    for field in fields:
        _refuse_bad_field(field)


def _refuse_bad_field(field: FieldOfRegard) -> None:
    if not -90.0 <= field.elevation_deg <= 90.0:
        raise InputError("links.fields_of_regard.elevation_deg", field.elevation_deg, "accepted is -90 to 90")
    if not 0.0 < field.half_angle_deg <= 180.0:
        raise InputError("links.fields_of_regard.half_angle_deg", field.half_angle_deg, "accepted is above 0 to 180")


def _refuse_bad_sites(sites: Mapping[str, SiteLinkSpec]) -> None:
    for name, own in sites.items():
        if not 0.0 <= own.mask_deg < 90.0:
            raise InputError("ground_sites.mask_deg", own.mask_deg, f"{name}: accepted is 0 to below 90")
        if not min(own.down_bps, own.up_bps) > 0:
            rate_bps = min(own.down_bps, own.up_bps)
            raise InputError("ground_sites.rate_gbps", rate_bps / 1e9, f"{name}: accepted is a number above 0")
