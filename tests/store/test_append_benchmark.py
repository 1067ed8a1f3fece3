"""The speed benchmark of appending runs, on a small scale."""

import pytest

from benchmarks.speed import append


def test_it_measures_all_it_promises(capsys: pytest.CaptureFixture[str]) -> None:
    append.main(["--rounds", "2", "--scale", "0.01"])
    printed = capsys.readouterr().out
    for text in (
        "batch of 1 ",
        "batch of 10 ",
        "batch of 100 ",
        "known",
        "new",
        "read",
    ):
        assert text in printed
