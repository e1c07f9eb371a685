# SPDX-License-Identifier: Apache-2.0
"""`python -m accord` is the command `accord`."""

from accord.cli import main

main()
