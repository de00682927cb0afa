"""Fuzz with atheris, guided by coverage: ``python -m fuzz [SECONDS] [TARGET ...]``.

Each target runs in a process of its own for so many seconds (default 60). What
crashes it is left in a file ``crash-...`` and printed.
"""

from __future__ import annotations

import subprocess
import sys


def main(arguments: list[str]) -> int:
    """Fuzz the targets one after the other; status 1 if one of them crashed."""
    if arguments[:1] == ["--one"]:
        return _fuzz(arguments[1], arguments[2])
    seconds = arguments.pop(0) if arguments and arguments[0].isdigit() else "60"
    from .targets import TARGETS

    failed = []
    for name in arguments or TARGETS:
        print(f"== {name}, {seconds} s", flush=True)
        command = [sys.executable, "-m", "fuzz", "--one", name, seconds]
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
    print(f"crashed: {', '.join(failed)}" if failed else "nothing crashed")
    return bool(failed)


def _fuzz(name: str, seconds: str) -> int:
    import logging

    import atheris

    with atheris.instrument_imports(include=["appmetrics"]):
        from .targets import TARGETS
    logging.disable()
    options = [f"-max_total_time={seconds}", "-max_len=4096", "-timeout=10", "-rss_limit_mb=2048"]
    atheris.Setup([sys.argv[0], *options, "-print_final_stats=1", "-verbosity=0"], TARGETS[name])
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
