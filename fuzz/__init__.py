# SPDX-License-Identifier: Apache-2.0
"""Coverage-guided fuzzing of every parser that reads bytes from outside: `make fuzz`."""
