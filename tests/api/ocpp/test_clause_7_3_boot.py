from pathlib import Path

from domain.model import station_events as t
from tests.api.ocpp.office import open_office


def test_a_station_that_is_not_commissioned_is_pending_then_accepted(
    tmp_path: Path,
) -> None:
    with open_office(tmp_path) as office:
        office.register("S1")
        wire = office.connect("S1", "1.6")
        boot = {"chargePointVendor": "Acme", "chargePointModel": "One"}
        assert wire.ask("BootNotification", boot)["status"] == "Pending"
        office.commission("S1")
        assert wire.ask("BootNotification", boot)["status"] == "Accepted"
        booted = office.events(t.StationBooted)
        assert [b.status for b in booted if isinstance(b, t.StationBooted)] == [
            "Pending",
            "Accepted",
        ]
