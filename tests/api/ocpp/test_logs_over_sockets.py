"""M8 as a station of another hand sees it: asked for its log, by JSON on its socket."""

import asyncio
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from domain.model.activity_events import ActivityKind
from domain.model.values import DAY
from domain.use_cases.clause_7_3_activities import AskActivity, ask_activity
from tests.api.ocpp.activities import steps
from tests.api.ocpp.office import Office, evse_data
from tests.api.ocpp.socket_station import Station
from tests.api.ocpp.sockets import open_yard, until


class Speech(NamedTuple):
    """What asks for a log, how that is agreed to and how not, what tells of it."""

    action: str
    agreed: dict[str, Any]
    declined: dict[str, Any]
    notification: str


SPEECH_OF_2 = Speech(
    "GetLog", {"status": "Accepted"}, {"status": "Rejected"}, "LogStatusNotification"
)
SPEECHES = {
    "ocpp1.6": Speech(
        "GetDiagnostics", {"fileName": "a.txt"}, {}, "DiagnosticsStatusNotification"
    ),
    "ocpp2.0.1": SPEECH_OF_2,
    "ocpp2.1": SPEECH_OF_2,
}


def ask_for_log(office: Office) -> None:
    now = office.clock.at
    parameters = {
        "location": "https://files.example/logs",
        "log": "diagnostics",
        "from_at": str(now - DAY),
        "until_at": str(now),
    }
    command = AskActivity(
        kind=ActivityKind.GET_LOG,
        station_id="S1",
        parameters=tuple(parameters.items()),
    )
    ask_activity(office.system, command, office.by())
    office.follow()


@pytest.mark.requirement("M8.Req2")
@pytest.mark.requirement("M8.Req4")
@pytest.mark.parametrize("protocol", SPEECHES)
def test_a_station_says_whether_it_can_send_its_log_and_how_far_it_is(
    tmp_path: Path, protocol: str
) -> None:
    asyncio.run(send_log(tmp_path, protocol))


async def send_log(folder: Path, protocol: str) -> None:
    action, agreed, declined, notification = SPEECHES[protocol]
    async with open_yard(folder, "S1") as yard:
        office = yard.office
        office.commission("S1", evse_data("DE*VLT*E1"))
        async with yard.connect("S1", protocol) as socket:
            station = Station(socket, protocol)
            listening = asyncio.create_task(station.listen())
            await station.boot()
            station.says[action] = agreed
            ask_for_log(office)
            await until(lambda: steps(office) == ["sent", "accepted"])
            (asked,) = (payload for name, payload in station.asked if name == action)
            number = {} if protocol == "ocpp1.6" else {"requestId": asked["requestId"]}
            for status in ("Uploading", "Uploaded"):
                told = {"status": status, **number}
                assert await station.ask(notification, told) == {}
            followed = ["sent", "accepted", "Uploading", "done"]
            await until(lambda: steps(office) == followed)
            station.says[action] = declined
            ask_for_log(office)
            await until(lambda: steps(office) == [*followed, "sent", "refused"])
            listening.cancel()
