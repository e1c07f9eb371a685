# SPDX-License-Identifier: Apache-2.0
"""The shield: private memory, confinement, and running an unmodified program."""

from accord.shield._confinement import Confinement
from accord.shield._job import Job, RunReport
from accord.shield._launch import launch
from accord.shield._memory import (
    PrivateMemory,
    discard_private_memory,
    enter_private_memory,
    private_memory,
)
from accord.shield._outputs import collect_outputs
from accord.shield._sandbox import Outcome, run_confined

__all__ = [
    "Confinement",
    "Job",
    "Outcome",
    "PrivateMemory",
    "RunReport",
    "collect_outputs",
    "discard_private_memory",
    "enter_private_memory",
    "launch",
    "private_memory",
    "run_confined",
]
