# SPDX-License-Identifier: Apache-2.0
"""The programs that the demonstration runs; each is a script of its own."""
