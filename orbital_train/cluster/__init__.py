"""Placement of the work on a Ray-managed group of workers: the only package that imports ray."""

import os

# Ray reads these when it is imported, so they stand before any module of this package. Token authentication is on for
# a cluster that is started here and for one that is joined; no usage statistics leave the machine.
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
