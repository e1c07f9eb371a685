# SPDX-License-Identifier: Apache-2.0
"""A policy's words for exactly the environment that some evidence showed."""

from __future__ import annotations

from typing import Any

from accord.evidence import Claims
from accord.policy import FAMILIES


def variant(claims: Claims, **changes: Any) -> dict[str, Any]:
    """The shortest variant that names the code of ``claims``, as simulated."""
    required = next(
        names
        for names in FAMILIES[claims.family].required
        if names <= {*claims.measurements, *claims.attributes, "components"}
    )
    measurements = {
        name: [claims.measurements[name].hex()]
        for name in sorted(required & claims.measurements.keys())
    }
    attributes = {name: [claims.attributes[name]] for name in required & claims.attributes.keys()}
    written: dict[str, Any] = {"family": claims.family.value, "simulated": True, **changes}
    if measurements:
        written["measurements"] = measurements
    if attributes:
        written["attributes"] = attributes
    if "components" in required:
        written["components"] = [{"digest": item.digest.hex()} for item in claims.components]
    return written
