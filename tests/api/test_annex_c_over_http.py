"""6.2 The complex service session of IEC 63110-1 Annex C, by its parties over HTTP.

A CSO, a parking operator and a station, each with a key of its own, talk to a server
that is stopped and started twice. What was written before the first stop was written by
a release that knew no limits of cost, under the older schema of the needs.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from domain.model import registry
from domain.model.session_events import NeedsStated
from domain.model.values import Instant, instant_of
from domain.use_cases.clause_6_2_guards import CLOSE_AFTER
from tests.api.restarting import Client, Restarting

EVSE = "DE*VLT*E42"
ZONE = {"zone_id": "garage", "name": "Garage", "limit_w": 60_000}
STATION = {
    "station_id": "s1",
    "zone_id": "garage",
    "evses": [
        {
            "evse_id": EVSE,
            "current": "AC",
            "phases": 3,
            "voltage_v": 230,
            "max_w": 22_080,
            "floor_w": 4_140,
        }
    ],
}
BOOKING = {"kind": "booking", "text": "2026-4711"}
TICKET = {"kind": "ticket", "text": "T12-5d07c3e9a1f4"}
EMAID = "DE-8AA-C12345678-9"


def june(day: int, hour: int, minute: int) -> Instant:
    return instant_of(datetime(2026, 6, day, hour, minute, tzinfo=UTC))


def text_of(at: Instant) -> str:
    return datetime.fromtimestamp(at / 1e6, UTC).isoformat().replace("+00:00", "Z")


class Parties:
    """The CSO, the parking operator and the station of this story."""

    def __init__(self, server: Restarting) -> None:
        operator = server.client("operator", "operator", zones=("*",))
        operator.post("/zones", **ZONE, safe_upper_w=11_000)
        operator.post("/stations", **STATION)
        self.cso = server.client("cso", "cso", party="cso", zones=("garage",))
        self.parking = server.client("parking", "parking-operator", party="parkco")
        self.station = server.client("station", "station", stations=("s1",))


def reserve(server: Restarting, cso: Client) -> str:
    """1 June: a place is kept from 10 June on, and what the driver needs is told."""
    made = cso.post(
        "/reservations",
        reference=BOOKING,
        evse_class="garage/AC",
        from_at=text_of(june(10, 9, 0)),
        until_at=text_of(june(20, 18, 0)),
    )
    session_id: str = made["session_id"]
    cso.post(
        f"/service-sessions/{session_id}/needs",
        departure_at=text_of(june(20, 13, 0)),
        energy_target_wh=8_000,
    )
    return session_id


def charge(server: Restarting, parties: Parties, session_id: str) -> None:
    """10 June: arrival, valet, parking, authorization, transfer with a pause, end."""
    cso, parking, station = parties.cso, parties.parking, parties.station
    server.set_clock(june(10, 9, 2))
    matched = cso.post("/reservations/matches", reference=BOOKING)
    assert matched["session_id"] == session_id
    server.set_clock(june(10, 9, 5))
    cso.post("/other-services/starts", reference=BOOKING, service="valet")
    # The CSO tells whose ticket belongs to it, and so lets the parking operator in.
    assert parking.try_get(f"/service-sessions/{session_id}").status_code == 404
    cso.post(f"/service-sessions/{session_id}/references", party="parkco", **TICKET)
    server.set_clock(june(10, 9, 6))
    parking.post("/parking/starts", reference=TICKET, place="level-2")
    server.set_clock(june(10, 9, 7))
    plugged = station.post(f"/evses/{EVSE}/plugs", register_wh=120_000)
    assert plugged["session_id"] == session_id
    token = {"kind": "emaid", "text": EMAID}
    asked = station.post("/authorizations", evse_id=EVSE, token=token)
    assert asked["session_id"] == session_id
    server.set_clock(june(10, 9, 8))
    cso.post("/authorizations/answers", session_id=session_id, accepted=True)
    server.set_clock(june(10, 9, 20))
    cso.post(
        f"/service-sessions/{session_id}/needs",
        departure_at=text_of(june(10, 12, 0)),
        energy_target_wh=8_000,
        cost_limit_minor=650,
        currency="EUR",
    )
    for at, paused in ((june(10, 9, 40), True), (june(10, 9, 50), False)):
        server.set_clock(at)
        station.post(f"/evses/{EVSE}/pauses", paused=paused)
    server.set_clock(june(10, 10, 30))
    station.post(f"/evses/{EVSE}/unplugs", energy_wh=7_900)
    server.set_clock(june(10, 10, 35))
    parking.post("/parking/ends", reference=TICKET)
    server.set_clock(june(10, 10, 40))
    parking.post("/parking/starts", reference=TICKET, place="level-5")


def leave(server: Restarting, parties: Parties, session_id: str) -> None:
    """20 June: the driver returns, gets the keys, and everything ends."""
    server.set_clock(june(20, 13, 36))
    parties.parking.post("/parking/ends", reference=TICKET)
    parties.cso.post("/other-services/ends", session_id=session_id, service="valet")
    parties.cso.post("/reservations/ends", reference=BOOKING, reason="used")
    server.set_clock(june(20, 13, 36) + CLOSE_AFTER - 1)
    assert state_of(parties.cso, session_id) == "open"
    server.set_clock(june(20, 13, 36) + CLOSE_AFTER)


def state_of(client: Client, session_id: str) -> str:
    state: str = client.get(f"/service-sessions/{session_id}")["session"]["state"]
    return state


def older_release(patch: pytest.MonkeyPatch) -> None:
    """Let needs be written and read as the release before this one did."""
    known = registry.BY_CLASS[NeedsStated]
    older = known._replace(schema=1, upcasts={})
    patch.setitem(registry.BY_CLASS, NeedsStated, older)  # type: ignore[misc]
    patch.setitem(registry.BY_NAME, known.name, older)


@pytest.mark.requirement("7.5.1")
@pytest.mark.requirement("7.5.2")
def test_annex_c_over_http_with_three_parties(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Restarting(tmp_path, june(1, 12, 0))
    with monkeypatch.context() as patch:
        older_release(patch)
        with server.running():
            parties = Parties(server)
            session_id = reserve(server, parties.cso)
    with server.running():
        rows = server.system.log.read_stream(f"session-{session_id}")
        assert [r.schema for r in rows if r.type == "needs.stated"] == [1]
        charge(server, parties, session_id)
    with server.running():
        leave(server, parties, session_id)
        check_told(server, parties, session_id)


def check_told(server: Restarting, parties: Parties, session_id: str) -> None:
    """Each party is told what concerns it, the CSO the whole SDR information."""
    last = server.system.log.last_position()
    detail = parties.cso.get(f"/service-sessions/{session_id}", after=last)
    assert detail["session"]["state"] == "closed"
    path = f"/service-sessions/{session_id}/sdr-information"
    check_sdr(parties.cso.get(path, after=last), session_id)
    assert parties.parking.try_get(path).status_code == 403
    seen = parties.parking.get(f"/service-sessions/{session_id}", after=last)
    assert [t["event"]["place"] for t in seen["parkings"] if "place" in t["event"]]
    for kind in ("transfers", "authorizations", "needs", "reservations"):
        assert seen[kind] == []
    assert EMAID not in str(detail) + str(seen)


def check_sdr(sdr: dict[str, Any], session_id: str) -> None:
    """The SDR information has every transaction, begin and end, in order."""
    increments = sdr["increments"]
    assert [i["sequence"] for i in increments] == list(range(1, len(increments) + 1))
    assert [i["type"] for i in increments] == TYPES
    at = {i["type"]: i["occurred_at"] for i in increments}
    assert at["reservation.made"] == "2026-06-01T12:00:00Z"
    assert at["transfer.ended"] == "2026-06-10T10:30:00Z"
    assert at["session.closed"] == "2026-06-20T13:51:00Z"


TYPES = [
    "session.opened",
    "session.reference_bound",
    "reservation.made",
    "needs.stated",
    "reservation.matched",
    "other.started",
    "session.reference_bound",
    "parking.started",
    "session.evse_bound",
    "needs.stated",
    "transfer.started",
    "authorization.requested",
    "authorization.accepted",
    "needs.stated",
    "transfer.paused",
    "transfer.resumed",
    "transfer.ended",
    "session.evse_released",
    "parking.ended",
    "parking.started",
    "parking.ended",
    "other.ended",
    "reservation.ended",
    "session.closed",
]
