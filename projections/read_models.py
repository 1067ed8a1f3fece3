"""All read models of a store, and the runner that keeps them up with the log."""

from pathlib import Path

from projections.activities import Activities
from projections.contracts import Contracts
from projections.correlations import Correlations
from projections.evse_queries import Evses
from projections.incentives import Incentives
from projections.key_figures import KeyFigures
from projections.plans import Plans
from projections.runner import Runner
from projections.sdr import Sdr
from projections.security import Security
from projections.session_queries import Sessions
from projections.station_queries import Stations
from projections.zones import Zones


class ReadModels:
    """Queries on the projections of a folder."""

    def __init__(self, folder: Path, runner: Runner) -> None:
        self.runner = runner
        self.zones = Zones(folder)
        self.evses = Evses(folder)
        self.stations = Stations(folder)
        self.sessions = Sessions(folder)
        self.sdr = Sdr(folder)
        self.contracts = Contracts(folder)
        self.activities = Activities(folder)
        self.incentives = Incentives(folder)
        self.plans = Plans(folder)
        self.key_figures = KeyFigures(folder)
        self.correlations = Correlations(folder)
        self.security = Security(folder)

    def close(self) -> None:
        """Close the readers' connections; the runner is its owner's to close."""
        for model in (
            self.zones,
            self.evses,
            self.stations,
            self.sessions,
            self.sdr,
            self.contracts,
            self.activities,
            self.incentives,
            self.plans,
            self.key_figures,
            self.correlations,
            self.security,
        ):
            model.reader.close()
