# SPDX-License-Identifier: Apache-2.0
"""The trust service, measured: see `bench.trust.suite`."""
