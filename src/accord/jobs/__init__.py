# SPDX-License-Identifier: Apache-2.0
"""One job, from its outputs to its bundle."""

from accord.jobs._bundle import create_bundle
from accord.jobs._cosigned import read_proved
from accord.jobs._outputs import fetch_output

__all__ = ["create_bundle", "fetch_output", "read_proved"]
