# SPDX-License-Identifier: Apache-2.0
"""Accord: secure multi-stakeholder machine learning on trusted execution environments."""

__version__ = "0.1.0"
