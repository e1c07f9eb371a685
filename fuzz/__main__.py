# SPDX-License-Identifier: Apache-2.0
"""`python -m fuzz [TARGET] [SECONDS]`: one target, or all of them one after the other."""

from __future__ import annotations

import subprocess
import sys

SECONDS = 10


def run_one(name: str, seconds: int) -> None:
    """Fuzzes one target in this process; libFuzzer ends it with its own exit code."""
    import atheris

    with atheris.instrument_imports(include=["accord"]):
        from fuzz.targets import TARGETS

    from accord.errors import AccordError

    target = TARGETS[name]

    def test_one_input(data: bytes) -> None:
        try:
            target(data)
        except AccordError:
            return

    arguments = [sys.argv[0], f"-max_total_time={seconds}", "-max_len=65536", "-verbosity=0"]
    atheris.Setup(arguments, test_one_input)
    atheris.Fuzz()


def main() -> int:
    seconds = int(sys.argv[2]) if len(sys.argv) > 2 else SECONDS  # noqa: PLR2004 - TARGET SECONDS
    if len(sys.argv) > 1 and sys.argv[1] != "all":
        run_one(sys.argv[1], seconds)
        return 0
    from fuzz.targets import TARGETS

    failed = []
    for name in TARGETS:
        done = subprocess.run(
            [sys.executable, "-m", "fuzz", name, str(seconds)], capture_output=True, check=False
        )
        print(f"{name:<14} {'ok' if done.returncode == 0 else 'FAILED'}", flush=True)
        if done.returncode:
            failed.append(name)
            print(done.stderr.decode(errors="replace")[-3000:])
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
