# SPDX-License-Identifier: Apache-2.0
"""Benchmarks: `make bench SUITE=trust`."""
