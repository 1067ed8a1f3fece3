"""How long a server takes from its start to its first answer.

``python -m benchmarks.speed.server_start --store FOLDER`` starts ``voltledger serve``
as a process of its own on a free port, asks for its health until it answers, and stops
it.
"""

import argparse
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

GIVEN_UP_S = 30.0
# What the command ``voltledger`` runs, with the Python that measures.
_COMMAND = (sys.executable, "-c", "from api.cli import main; main()")
_LOOK_EVERY_S = 0.01


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def answers(port: int) -> bool:
    """Return whether the server answers, whatever it says of its health."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/v1/health", timeout=1.0) as answer:
            return bool(answer.status == 200)
    except (URLError, ConnectionError, TimeoutError):
        return False


def start_s(store: Path) -> float:
    """Return the time from the start of the process to its first answer [s]."""
    port = free_port()
    begun = time.perf_counter()
    server = subprocess.Popen(
        [*_COMMAND, "serve", "--store", f"sqlite:///{store}", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not answers(port):
            if server.poll() is not None or time.perf_counter() > begun + GIVEN_UP_S:
                raise RuntimeError(f"no server on {store} within {GIVEN_UP_S} s")
            time.sleep(_LOOK_EVERY_S)
        return time.perf_counter() - begun
    finally:
        server.terminate()
        server.wait()


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--store", type=Path, required=True, help="folder of a store")
    parser.add_argument("--runs", type=int, default=7)
    given = parser.parse_args(arguments)
    took_s = [start_s(given.store) for _ in range(given.runs)]
    print(
        f"server start: {statistics.median(took_s):.2f} s "
        f"({min(took_s):.2f} to {max(took_s):.2f}, {given.runs} runs)"
    )


if __name__ == "__main__":
    main()
