"""The library's own base case for tracking recorders, on the file that we ship."""

from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from eventsourcing.persistence import TrackingRecorder
from eventsourcing.tests.persistence import TrackingRecorderTestCase

from projections.file import ProjectionFile


class TestProjectionFileTracks(TrackingRecorderTestCase):
    def setUp(self) -> None:
        self._folder = TemporaryDirectory()
        self._numbers = count()
        self._files: list[ProjectionFile] = []

    def tearDown(self) -> None:
        for file in self._files:
            file.close()
        self._folder.cleanup()

    def create_recorder(self) -> TrackingRecorder:
        path = Path(self._folder.name) / f"{next(self._numbers)}.sqlite"
        self._files.append(ProjectionFile(path, "", "1"))
        return self._files[-1]


del TrackingRecorderTestCase
