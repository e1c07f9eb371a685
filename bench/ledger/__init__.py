# SPDX-License-Identifier: Apache-2.0
"""The ledger: appends, witnesses, tags of volumes, bundles, and opening after a crash."""
