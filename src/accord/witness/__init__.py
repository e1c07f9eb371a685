# SPDX-License-Identifier: Apache-2.0
"""The witness: sees every checkpoint of a log, and cosigns none that forks."""
