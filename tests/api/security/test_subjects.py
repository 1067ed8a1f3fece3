"""No credential of a command that was refused for its reach is kept."""

from typing import Any

import pytest

from tests.api.conftest import CallerFor, Served
from tests.projections.small_site import EVSES

TOKEN = {"kind": "token", "text": "CAFE0042"}


@pytest.mark.requirement("7.9.4.5")
def test_no_subject_is_kept_of_who_asks_out_of_reach(
    served: Served, caller_for: CallerFor
) -> None:
    rival = caller_for("cso", party="rival")
    begun = rival.done("/other-services/starts", {"service": "wash"})
    fleet = caller_for("cso", party="fleet")
    station = caller_for("station", stations=("s1",))
    refused: list[tuple[int, str, Any, dict[str, Any]]] = [
        (404, "unknown-session", fleet, {"session_id": begun["session_id"]}),
        (404, "unknown-evse", fleet, {"evse_id": EVSES[0]}),
        (422, "party-needed", station, {"reference": {"kind": "job", "text": "7"}}),
    ]
    for status, code, caller, body in refused:
        asked = {**body, "token": TOKEN}
        caller.refused(status, code, "/authorizations", asked)
        assert served.system.vault.find_subject(*TOKEN.values()) is None, code
    rival.done("/authorizations", {"session_id": begun["session_id"], "token": TOKEN})
    assert served.system.vault.find_subject(*TOKEN.values()) is not None
