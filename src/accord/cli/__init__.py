# SPDX-License-Identifier: Apache-2.0
"""The command line: nouns and verbs, data on stdout, words on stderr."""

from accord.cli._main import main, shield_main

__all__ = ["main", "shield_main"]
