"""Random histories of a small site: late facts, merges, reservations, deliveries."""

from hypothesis import strategies as st

from domain.model import activity_events as a
from domain.model import ids
from domain.model import plan_events as p
from domain.model import session_events as s
from domain.model import site_events as z
from domain.model import station_events as t
from domain.model.profile import PowerProfile
from domain.model.values import MINUTE, Event, Quality
from tests.projections.small_site import (
    DAWN,
    EVSES,
    ZONE,
    Site,
    Told,
    commissioned,
    etp,
    observed,
    plan,
    pre,
    superseded,
)

SESSIONS = ("a", "b", "c", "d")
PARTIES = ("cso", "parking", "station")

_sessions = st.sampled_from(SESSIONS)
_evses = st.sampled_from(EVSES)
_parties = st.sampled_from(PARTIES)
_numbers = st.integers(1, 7)
_powers = st.integers(0, 9_000)
# Instants repeat, and facts come late.
_instants = st.integers(0, 40).map(lambda minutes: DAWN + minutes * MINUTE)
_qualities = st.sampled_from(Quality)

_in_sessions: tuple[st.SearchStrategy[Event], ...] = (
    st.builds(s.SessionOpened, session_id=_sessions, party=_parties),
    st.builds(
        s.ReferenceBound,
        session_id=_sessions,
        party=_parties,
        kind=st.just("reservation"),
        reference=st.sampled_from(("r1", "r2")),
    ),
    st.builds(
        s.EvseBound,
        session_id=_sessions,
        evse_id=_evses,
        station_id=st.sampled_from(("s1", "s2")),
        zone_id=st.sampled_from((ZONE, "yard")),
    ),
    st.builds(s.EvseReleased, session_id=_sessions, evse_id=_evses),
    st.builds(s.MergedInto, session_id=_sessions, into_session_id=_sessions).filter(
        lambda merged: merged.session_id != merged.into_session_id
    ),
    st.builds(s.SessionClosed, session_id=_sessions, reason=st.just("left")),
    st.builds(
        s.ReservationMade,
        session_id=_sessions,
        from_at=_instants,
        until_at=_instants,
        evse_id=_evses,
    ),
    st.builds(s.ReservationEnded, session_id=_sessions, reason=st.just("used")),
    st.builds(s.ParkingStarted, session_id=_sessions),
    st.builds(
        s.NeedsStated,
        session_id=_sessions,
        departure_at=_instants,
        energy_target_wh=_powers,
    ),
    st.builds(s.TransferStarted, session_id=_sessions, evse_id=_evses),
    st.builds(
        s.TransferEnded, session_id=_sessions, energy_wh=_powers, reason=st.just("full")
    ),
    st.builds(observed, _sessions, _evses, _powers, _powers, _qualities),
    st.builds(
        s.TransferIntervalMetered,
        session_id=_sessions,
        evse_id=_evses,
        from_at=_instants,
        energy_wh=_powers,
        total_wh=_powers,
    ),
    st.builds(
        s.TransactionCorrected,
        session_id=_sessions,
        position=_numbers,
        field=st.just("energy_wh"),
        value=st.just("1"),
        by=_parties,
        reason=st.just("meter was replaced"),
    ),
)
_at_evses: tuple[st.SearchStrategy[Event], ...] = (
    st.builds(z.EvseReserved, evse_id=_evses, session_id=_sessions),
    st.builds(z.EvseOccupied, evse_id=_evses, session_id=_sessions),
    st.builds(z.EvseVacated, evse_id=_evses, session_id=_sessions),
    st.builds(z.EvseBlocked, evse_id=_evses, reason=st.just("cable")),
    st.builds(z.EvseUnblocked, evse_id=_evses, reason=st.just("mended")),
    st.builds(z.EvseLimitsChanged, evse_id=_evses, max_w=_powers, floor_w=_powers),
)
_deliveries: tuple[st.SearchStrategy[Event], ...] = (
    st.builds(
        p.EtpSent,
        evse_id=_evses,
        number=_numbers,
        profile=_powers.map(lambda power_w: PowerProfile(DAWN, ((0, power_w),))),
    ),
    st.builds(p.EtpAccepted, evse_id=_evses, number=_numbers),
    st.builds(p.EtpRefused, evse_id=_evses, number=_numbers, reason=st.just("no")),
    st.builds(p.EtpTimedOut, evse_id=_evses, number=_numbers),
    st.builds(p.EtpConfirmed, evse_id=_evses, number=_numbers),
    st.builds(t.EtpNotFollowed, evse_id=_evses, number=_numbers, power_w=_powers),
    st.builds(t.EtpFollowedAgain, evse_id=_evses, number=_numbers),
)
_stations = st.sampled_from(("s1", "s2"))
_rules = st.sampled_from(("TYPE", "LENGTH"))
_of_stations: tuple[st.SearchStrategy[Event], ...] = (
    st.builds(
        t.StationRegistered,
        station_id=_stations,
        identity=_rules,
        security_profile=st.just(1),
    ),
    st.builds(t.StationBlocked, station_id=_stations, reason=st.just("stolen")),
    st.builds(t.StationUnblocked, station_id=_stations, reason=st.just("found")),
    st.builds(
        t.StationConnected,
        station_id=_stations,
        version=st.sampled_from(("1.6", "2.1")),
        security_profile=st.just(1),
    ),
    st.builds(t.StationDisconnected, station_id=_stations, reason=st.just("gone")),
    st.builds(t.StationBooted, station_id=_stations, status=_rules, vendor=_rules),
    st.builds(
        t.StationStatusReported,
        station_id=_stations,
        evse_number=st.integers(0, 2),
        connector=st.integers(0, 1),
        status=_rules,
    ),
    st.builds(
        t.StationMessageKept,
        station_id=_stations,
        action=_rules,
        quality=_qualities,
        rule=_rules,
    ),
    st.builds(
        t.LimitReported,
        station_id=_stations,
        evse_id=_evses,
        source=_rules,
        is_over=st.booleans(),
    ),
    st.builds(
        t.StationTransactionReported,
        station_id=_stations,
        evse_id=_evses,
        transaction_id=st.sampled_from(SESSIONS),
        kind=st.sampled_from(("started", "updated", "ended")),
    ),
    st.builds(
        a.ActivityAsked,
        activity_id=st.sampled_from(SESSIONS),
        kind=st.just("reset"),
        station_id=_stations,
        due_at=_instants,
    ),
    st.builds(
        a.ActivityEnded,
        activity_id=st.sampled_from(SESSIONS),
        station_id=_stations,
        outcome=st.just("done"),
    ),
)
_in_zones: tuple[st.SearchStrategy[Event], ...] = (
    st.builds(
        z.ZoneLimitsChanged,
        zone_id=st.sampled_from((ZONE, "yard")),
        limit_w=_powers,
        safe_upper_w=_powers,
    ),
    st.builds(z.ZoneLearned, zone_id=st.just(ZONE), taken_per_stated_permille=_numbers),
)
_pres: tuple[st.SearchStrategy[Event], ...] = (
    st.builds(pre, st.sampled_from(("p1", "p2")), _instants, _powers),
    st.builds(p.PreRevoked, zone_id=st.just(ZONE), pre_id=st.just("p1")),
    st.builds(p.PreFallbackBegan, zone_id=st.just(ZONE)),
)

_etps = st.lists(
    st.builds(etp, _evses, _sessions, _numbers, _instants, _powers),
    max_size=3,
    unique_by=lambda planned: planned.evse_id,
)


def _stream_of(event: Event, at: int) -> str:
    if isinstance(event, p.PreReceived | p.PreRevoked | p.PreFallbackBegan):
        return ids.pre_stream(event.zone_id)
    if isinstance(event, z.ZoneLimitsChanged | z.ZoneLearned):
        return ids.zone_stream(event.zone_id)
    if type(event) in _AT_EVSES:
        return ids.evse_stream(event.evse_id)  # type: ignore[attr-defined]
    if hasattr(event, "session_id") and not isinstance(event, a.ActivityAsked):
        return ids.session_stream(event.session_id)
    if isinstance(event, t.StationTransactionReported):
        return ids.transaction_stream(event.station_id, event.transaction_id)
    if hasattr(event, "station_id"):
        return ids.connectivity_stream(event.station_id, at)
    return ids.delivery_stream("s1", at)


_AT_EVSES = (
    z.EvseReserved,
    z.EvseOccupied,
    z.EvseVacated,
    z.EvseBlocked,
    z.EvseUnblocked,
    z.EvseLimitsChanged,
)

_events = st.one_of(
    *_in_sessions, *_at_evses, *_deliveries, *_of_stations, *_in_zones, *_pres
)
_told = st.one_of(
    st.builds(
        lambda event, at: Told(_stream_of(event, at), at, event), _events, _instants
    ),
    st.builds(
        lambda at, aetp_w, etps: plan(at, aetp_w, *etps), _instants, _powers, _etps
    ),
    _instants.map(superseded),
)

histories = st.lists(_told, min_size=5, max_size=80).map(
    lambda told: [*commissioned(), *told]
)


def sealed(site: Site, session_id: str) -> tuple[str, Told]:
    """Return a subject, and an event that seals what is personal to it."""
    subject = site.vault.subject_of("token", "04AABBCCDD")
    stream = ids.session_stream(session_id)
    credential = site.vault.seal(
        subject, f"{stream}/authorization.requested", b"04AABBCCDD"
    )
    asked = s.AuthorizationRequested(
        session_id=session_id,
        evse_id=EVSES[0],
        subject_id=subject,
        credential=credential,
    )
    return subject, Told(stream, DAWN + MINUTE, asked)


def erased(site: Site, subject: str) -> Told:
    """Destroy a subject's key; return what is told of it."""
    event = p.SubjectErased(key_id=site.vault.destroy(subject))
    return Told("erasures", site.clock.at, event)
