"""What operators see of stations."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from domain.model import activity_events as a
from domain.model import ids
from domain.model import plan_events as p
from domain.model import site_events as z
from domain.model import station_events as t
from domain.model.profile import PowerProfile
from domain.model.values import HOUR, MINUTE, SECOND, Event, Quality
from projections.runner import Runner
from projections.scope import Scope
from projections.station_documents import Station
from projections.station_queries import StationFilter, Stations
from tests.projections.small_site import DAWN, EVSES, ZONE, Site, Told

FIRST, SECOND_EVSE = EVSES[:2]
PROFILE = PowerProfile(DAWN, ((0, 4_000),))
REGISTERED = t.StationRegistered(
    station_id="hall",
    identity="HALL-1",
    security_profile=2,
    password_digest=bytes(32),
    deviations=("null-member",),
)
COMMISSIONED = z.StationCommissioned(
    station_id="hall", zone_id=ZONE, evse_ids=(FIRST, SECOND_EVSE)
)
CONNECTED = t.StationConnected(station_id="hall", version="2.1", security_profile=2)


def told(*events: Event, stream: str = "", at: int = DAWN) -> Iterable[Told]:
    """Tell events a minute apart, in a stream of their station."""
    for count, event in enumerate(events):
        when = at + count * MINUTE
        yield Told(stream or ids.connectivity_stream("hall", when), when, event)


def stations_of(site: Site, folder: Path) -> Stations:
    runner = Runner(site.log, folder)
    runner.catch_up()
    runner.close()
    return Stations(folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "projections"


def hall(site: Site, folder: Path) -> Station:
    station = stations_of(site, folder).station("hall")
    assert station is not None
    return station


@pytest.mark.parametrize(
    ("events", "standing", "reason"),
    [
        ((COMMISSIONED,), "unregistered", ""),
        ((REGISTERED,), "pending", ""),
        ((REGISTERED, COMMISSIONED), "accepted", ""),
        (
            (COMMISSIONED, REGISTERED, t.StationBlocked("hall", "stolen")),
            "blocked",
            "stolen",
        ),
        (
            (
                COMMISSIONED,
                REGISTERED,
                t.StationBlocked("hall", "stolen"),
                t.StationUnblocked("hall", "found"),
            ),
            "accepted",
            "",
        ),
        ((REGISTERED, t.StationRetired("hall", "sold")), "retired", "sold"),
    ],
)
def test_a_station_stands_as_was_decided(
    site: Site, folder: Path, events: tuple[Event, ...], standing: str, reason: str
) -> None:
    site.tell(told(*events, stream="station-hall"))
    station = hall(site, folder)
    assert (station.standing, station.reason) == (standing, reason)


def test_credentials_are_shown_without_what_proves_them(
    site: Site, folder: Path
) -> None:
    changed = t.StationCredentialChanged(
        station_id="hall", security_profile=3, certificate_name="hall.example"
    )
    site.tell(told(REGISTERED, changed, stream="station-hall"))
    station = hall(site, folder)
    assert (station.identity, station.security_profile) == ("HALL-1", 3)
    assert station.certificate_name == "hall.example"
    assert station.deviations == ("null-member",)
    assert not any("digest" in name for name in Station.__struct_fields__)


def test_a_connection_is_shown_with_what_came_over_it(site: Site, folder: Path) -> None:
    site.tell(
        told(
            REGISTERED,
            CONNECTED,
            t.StationBooted(
                station_id="hall",
                status="Accepted",
                reason="PowerUp",
                vendor="Acme",
                model="One",
                firmware="1.2",
            ),
            t.StationClockMeasured(station_id="hall", offset_ms=-90_000),
            t.StationCapabilities(station_id="hall", version="2.1", max_periods=24),
            t.StationDefaultsInstalled(
                station_id="hall", default_w=3_000, maximum_w=22_000
            ),
            t.StationStatusReported(
                station_id="hall", evse_number=2, connector=1, status="Available"
            ),
            t.StationStatusReported(
                station_id="hall", evse_number=1, connector=1, status="Occupied"
            ),
            t.StationDisconnected(station_id="hall", reason="link lost"),
        )
    )
    station = hall(site, folder)
    assert (station.connection, station.connection_reason) == (
        "disconnected",
        "link lost",
    )
    assert station.connection_since_at == DAWN + 8 * MINUTE
    assert (station.version, station.vendor, station.model) == ("2.1", "Acme", "One")
    assert station.booted_at == DAWN + 2 * MINUTE
    assert station.clock_offset_ms == -90_000
    assert station.capabilities is not None
    assert station.capabilities.max_periods == 24
    assert (station.default_w, station.maximum_w) == (3_000, 22_000)
    shown = [(c.evse_number, c.status) for c in station.connectors]
    assert shown == [(1, "Occupied"), (2, "Available")]


def test_a_late_word_of_a_connector_does_not_undo_a_newer_one(
    site: Site, folder: Path
) -> None:
    newer, older = (
        t.StationStatusReported(
            station_id="hall", evse_number=1, connector=1, status=status
        )
        for status in ("Available", "Occupied")
    )
    site.tell([*told(newer, at=DAWN + HOUR), *told(older, at=DAWN)])
    assert [c.status for c in hall(site, folder).connectors] == ["Available"]


def test_it_is_shown_whether_an_evse_follows_its_etps(site: Site, folder: Path) -> None:
    site.tell(told(REGISTERED, COMMISSIONED, stream="station-hall"))
    site.tell(
        told(
            p.EtpSent(evse_id=SECOND_EVSE, number=1, profile=PROFILE),
            p.EtpAccepted(evse_id=SECOND_EVSE, number=1),
            p.EtpConfirmed(evse_id=SECOND_EVSE, number=1),
            p.EtpSent(evse_id=SECOND_EVSE, number=2, profile=PROFILE),
            p.EtpRefused(evse_id=SECOND_EVSE, number=2, reason="Rejected"),
            p.EtpSent(evse_id=SECOND_EVSE, number=3, profile=PROFILE),
            p.EtpTimedOut(evse_id=SECOND_EVSE, number=3),
            t.EtpSuperseded(evse_id=SECOND_EVSE, number=4, by_number=5),
            t.EtpNotFollowed(evse_id=SECOND_EVSE, number=1, power_w=7_000),
            t.ScheduleCompared(
                evse_id=SECOND_EVSE, number=1, expected_w=4_000, allowed_w=3_000
            ),
            stream=ids.delivery_stream("hall", DAWN),
        )
    )
    site.tell(
        told(t.SettleLearned(station_id="hall", evse_id=SECOND_EVSE, settle_s=25))
    )
    station = hall(site, folder)
    first, second = station.evses
    assert (first.evse_id, first.number, first.sent) == (FIRST, 1, 0)
    assert first.is_following is None
    assert (second.sent, second.accepted, second.confirmed) == (3, 1, 1)
    assert (second.refused, second.timed_out, second.superseded) == (1, 1, 1)
    assert second.followed == 0
    assert (second.not_followed, second.power_w, second.settle_s) == (1, 7_000, 25)
    assert second.is_following is False
    assert second.following_since_at == DAWN + 8 * MINUTE
    assert (second.compared_otherwise, second.expected_w, second.allowed_w) == (
        1,
        4_000,
        3_000,
    )
    assert station.refusals == {"Rejected": 1}
    again = t.EtpFollowedAgain(evse_id=SECOND_EVSE, number=1)
    stream = ids.delivery_stream("hall", DAWN)
    site.tell(told(again, stream=stream, at=DAWN + HOUR))
    assert hall(site, folder).evses[1].is_following is True


def test_what_was_not_read_is_counted_by_rule_and_what_was_tolerated_by_name(
    site: Site, folder: Path
) -> None:
    def message(quality: Quality, rule: str = "") -> Event:
        return t.StationMessageKept(
            station_id="hall", action="MeterValues", quality=quality, rule=rule
        )

    site.tell(
        told(
            message(Quality.UNREADABLE, "TYPE"),
            message(Quality.UNREADABLE, "TYPE"),
            message(Quality.UNREADABLE, "LENGTH"),
            message(Quality.GOOD),
            t.StationDeviationTolerated("hall", "null-member", 40, DAWN),
            t.StationDeviationTolerated("hall", "null-member", 2, DAWN),
            *(message(Quality.UNREADABLE, f"RULE_{n}") for n in range(100)),
        )
    )
    station = hall(site, folder)
    assert (station.unreadable["TYPE"], station.unreadable["LENGTH"]) == (2, 1)
    assert sum(station.unreadable.values()) == 103
    assert len(station.unreadable) == 33
    assert station.unasked == {"MeterValues": 1}
    assert station.tolerated == {"null-member": 42}


def test_open_transactions_are_those_without_an_end_in_whatever_order_they_come(
    site: Site, folder: Path
) -> None:
    def tell(key: str, *kinds: str, transaction_id: str, **more: str) -> None:
        events: list[Event] = [
            t.StationTransactionReported(
                station_id="hall",
                evse_id=FIRST,
                transaction_id=transaction_id,
                kind=kind,
                **more,  # type: ignore[arg-type]
            )
            for kind in kinds
        ]
        bound = t.StationTransactionBound("hall", transaction_id, f"s-{key}")
        stream = ids.transaction_stream("hall", key)
        site.tell(told(*events, bound, stream=stream))

    tell("7", "started", "updated", transaction_id="tx-7", state="charging")
    tell("5", "ended", "started", transaction_id="tx-5")
    tell("6", "started", "ended", transaction_id="tx-6")
    tell("4", "started", transaction_id="tx-4", quality=Quality.CONTRADICTS)
    tell("1.6", "started", transaction_id="")
    last = site.log.last_position()
    one, of_1_6 = hall(site, folder).transactions
    assert (one.transaction_id, one.state) == ("tx-7", "charging")
    assert (one.session_id, one.started_at) == ("s-7", DAWN)
    assert of_1_6.transaction_id == str(last - 1)
    tell("1.6", "ended", transaction_id=str(last - 1))
    (left,) = hall(site, folder).transactions
    assert left.transaction_id == "tx-7"


def test_limits_of_others_and_activities_are_shown_until_they_end(
    site: Site, folder: Path
) -> None:
    limit = t.LimitReported("hall", "", "EMS", PROFILE)
    over = t.LimitReported("hall", FIRST, "SO", is_over=True)
    asked = [
        a.ActivityAsked(name, "reset", "hall", DAWN + HOUR) for name in ("x", "y", "z")
    ]
    site.tell(
        told(
            limit,
            t.LimitReported("hall", FIRST, "SO"),
            over,
            *asked,
            a.ActivityProgressed("x", "hall", "sent"),
            a.ActivityEnded("y", "hall", "done"),
            a.ActivityTimedOut("z", "hall"),
        )
    )
    station = hall(site, folder)
    assert [(found.source, found.profile) for found in station.limits] == [
        ("EMS", PROFILE)
    ]
    (activity,) = station.activities
    assert (activity.activity_id, activity.kind, activity.step) == (
        "x",
        "reset",
        "sent",
    )


def test_an_etp_is_followed_that_was_accepted_and_no_reading_spoke_against(
    site: Site, folder: Path
) -> None:
    def accepted(number: int) -> Event:
        return p.EtpAccepted(FIRST, number)

    site.tell(
        told(
            t.EtpNotFollowed(FIRST, 0, 7_000),
            accepted(1),
            accepted(2),
            t.EtpNotFollowed(FIRST, 2, 7_000),
            t.EtpFollowedAgain(FIRST, 2),
            t.EtpNotFollowed(FIRST, 2, 8_000),
            accepted(3),
            stream=ids.delivery_stream("hall", DAWN),
        )
    )
    (evse,) = hall(site, folder).evses
    assert (evse.accepted, evse.followed) == (3, 2)


def test_alerts_are_shown_until_they_are_cleared(site: Site, folder: Path) -> None:
    def alert(variable: str, is_cleared: bool = False) -> Event:
        return t.StationAlertReported(
            "hall", 1, "Cable", variable, "true", is_cleared=is_cleared
        )

    site.tell(told(alert("Hot"), alert("Loose"), alert("Hot", is_cleared=True)))
    (open_one,) = hall(site, folder).alerts
    assert (open_one.component, open_one.variable) == ("Cable", "Loose")


def test_an_evse_that_goes_on_not_following_is_counted_once(
    site: Site, folder: Path
) -> None:
    stream = ids.delivery_stream("hall", DAWN)
    nots = [t.EtpNotFollowed(FIRST, 1, power_w) for power_w in (7_000, 7_100)]
    again = t.EtpFollowedAgain(FIRST, 1)
    site.tell(told(*nots, again, *nots, stream=stream))
    site.tell(told(t.StationAvailabilityChanged("hall", FIRST, is_operative=False)))
    site.tell(told(t.StationMessagesCounted("hall", 40, DAWN)))
    station = hall(site, folder)
    (evse,) = station.evses
    assert (evse.not_followed, evse.power_w) == (2, 7_100)
    assert evse.followed == 0
    assert evse.following_since_at == DAWN + 3 * MINUTE
    assert not evse.is_operative
    assert station.messages_beyond == 40


def test_stations_are_listed_by_place_standing_and_connection(
    site: Site, folder: Path
) -> None:
    for name, zone_id in (("a", ZONE), ("b", "yard"), ("c", ZONE), ("d", "")):
        events: list[Event] = [t.StationRegistered(name, name.upper(), 1, b"x")]
        if zone_id:
            events.append(z.StationCommissioned(name, zone_id, (f"DE*ABC*E{name}",)))
        if name in "ad":
            events.append(t.StationConnected(name, "1.6", 1))
        site.tell(told(*events, at=DAWN + SECOND))
    stations = stations_of(site, folder)

    def listed(**wanted: str) -> str:
        found = stations.page(wanted=StationFilter(**wanted))
        return "".join(station.station_id for station in found)

    assert listed() == "abcd"
    assert listed(zone_id=ZONE) == "ac"
    assert listed(zone_id=ZONE, connection="connected") == "a"
    assert listed(standing="pending") == "d"
    assert listed(connection="disconnected") == "bc"
    seen = stations.page(scope=Scope(frozenset({ZONE}), frozenset({"b", "c"})), limit=2)
    assert [station.station_id for station in seen] == ["a", "b"]
    rest = stations.page(after="b", scope=Scope(frozenset({ZONE})))
    assert [station.station_id for station in rest] == ["c"]
    assert stations.station("nobody") is None
