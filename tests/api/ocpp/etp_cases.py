"""ETPs, stations and what we believe of them, drawn for the tests of the encoder."""

import json
import math
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any, NamedTuple

import msgspec
from hypothesis import strategies as st
from ocpp.messages import Call, _validate_payload

from api.ocpp.capabilities import Capabilities, Conditions, EvseWiring
from api.ocpp.charging_profiles import Request
from api.ocpp.codec import CODECS, encode
from api.ocpp.etp import (
    EtpOrder,
    default_request,
    etp_request,
    maximum_request,
)
from api.ocpp.violations import Version
from domain.model.profile import PowerProfile
from domain.model.values import SECOND, Current, instant_of
from tests.api.ocpp.office import VERSIONS
from tests.api.ocpp.station_model import Station

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
NOON_AT = instant_of(NOON)
MICRO = timedelta(microseconds=1)
TRANSACTION: dict[Version, int | str] = {"1.6": 7, "2.0.1": "tx-7", "2.1": "tx-7"}
WIRING = EvseWiring(number=2, current=Current.AC, phases=3, nominal_v=230, floor_w=4140)
MEASURED = Conditions(
    sent_at=NOON_AT,
    renew_at=NOON_AT + 900 * SECOND,
    clock_offset_us=0,
    phases_in_use=3,
    measured_v=230.0,
)


def able(version: Version, **abilities: Any) -> Capabilities:
    strong = {"max_periods": 24, "max_stack_level": 8}
    return Capabilities(version=version, **{**strong, **abilities})


def order(version: Version, *changes: tuple[int, int], **more: Any) -> EtpOrder:
    told: dict[str, Any] = {
        "profile": PowerProfile(NOON_AT, changes),
        "safe_w": 4200,
        "safe_from_at": NOON_AT + 7200 * SECOND,
        "transaction_id": TRANSACTION[version],
        "schedule_id": 5,
    }
    return EtpOrder(**{**told, **more})


def on_wire(request: Request, version: Version) -> bytes:
    """Return the payload, which the package's schema and our own structs accept."""
    payload = encode(request)
    _validate_payload(Call("1", "SetChargingProfile", json.loads(payload)), version)
    assert CODECS[version].request("SetChargingProfile", payload) == request
    return payload


class Sent(NamedTuple):
    """An ETP on its way: what the encoder was told, and what came of it."""

    order: EtpOrder
    conditions: Conditions
    payload: bytes
    has_steps: bool

    def counted_w(self, at: datetime) -> float:
        """Return what the planner counts with; nothing known after a due renewal."""
        instant = instant_of(at)
        if not self.has_steps and instant > self.conditions.renew_at:
            return math.inf
        power_w = self.order.profile.power_w(instant)
        if self.has_steps and instant >= self.order.safe_from_at + 6 * SECOND:
            return min(power_w, self.order.safe_w)
        return power_w


class Case(NamedTuple):
    """A station, what we believe of it, and messages in the order they arrive in."""

    station: Station
    default_w: int
    arrivals: list[tuple[datetime, Sent]]


@st.composite
def clocks(draw: st.DrawFn) -> tuple[int | None, int]:
    """Return an offset as told, and a true one [µs]: known to 5 s where it is known."""
    told_s = draw(
        st.one_of(st.none(), st.floats(-70, 70), st.sampled_from((-5.0, 5.0, -3600.0)))
    )
    if told_s is None:
        far = draw(st.integers(-50, 70)) * 365 * 86_400 * SECOND
        return None, far
    told = int(told_s * SECOND)
    used = 0 if abs(told) <= 5 * SECOND else told
    error = draw(st.one_of(st.integers(-5 * SECOND, 5 * SECOND), st.just(-used)))
    if abs(told) <= 60 * SECOND:
        error = max(-5 * SECOND, min(5 * SECOND, error))
    return told, used + error


@st.composite
def stations(draw: st.DrawFn) -> tuple[Station, Capabilities, EvseWiring, Conditions]:
    version = draw(st.sampled_from(VERSIONS))
    is_dc = draw(st.integers(0, 5)) == 0
    capabilities = Capabilities(
        version=version,
        unit="W" if is_dc else draw(st.sampled_from(("A", "W"))),
        max_periods=draw(st.sampled_from((1, 2, 3, 5, 24))),
        decimals=draw(st.integers(0, 1 if version == "1.6" else 3)),
        max_stack_level=draw(st.integers(0, 8)),
        can_switch_phases=draw(st.booleans()),
    )
    wired = draw(st.sampled_from((1, 3)))
    ev_phases = draw(st.integers(1, wired))
    # Standing profiles know no measured voltage: a tenth above nominal is the most.
    measured_v = draw(st.one_of(st.none(), st.floats(180, 253)))
    highest_v = Fraction(253 if measured_v is None else measured_v)
    switched = draw(st.integers(1, wired)) if capabilities.can_switch_phases else None
    told, true = draw(clocks())
    station = Station(
        version=version,
        unit=capabilities.unit,
        max_periods=capabilities.max_periods,
        decimals=capabilities.decimals,
        max_stack_level=capabilities.max_stack_level,
        switches_phases=capabilities.can_switch_phases,
        ev_phases=ev_phases,
        voltage_v=highest_v * draw(st.sampled_from((Fraction(1), Fraction(9, 10)))),
        clock_offset=timedelta(microseconds=true),
        is_dc=is_dc,
        transactions={2: TRANSACTION[version]},
    )
    wiring = EvseWiring(
        number=2,
        current=Current.DC if is_dc else Current.AC,
        phases=wired,
        nominal_v=230,
        floor_w=draw(st.sampled_from((0, 1380 * wired))),
    )
    conditions = Conditions(
        sent_at=0,
        renew_at=0,
        clock_offset_us=told,
        phases_in_use=draw(st.one_of(st.none(), st.integers(ev_phases, wired))),
        measured_v=measured_v,
        switched_phases=draw(st.sampled_from((None, switched))),
    )
    return station, capabilities, wiring, conditions


@st.composite
def cases(draw: st.DrawFn) -> Case:
    station, capabilities, wiring, conditions = draw(stations())
    default_w = draw(st.integers(0, 22_000))
    maximum_w = draw(st.integers(20_000, 70_000))
    whole = msgspec.structs.replace(wiring, number=0)
    for request in (
        default_request(default_w, wiring, capabilities, 1),
        maximum_request(maximum_w, whole, capabilities, 2),
    ):
        payload = on_wire(request, capabilities.version)
        assert station.set_charging_profile(payload) == ""
    arrivals = []
    sent_at = NOON_AT
    for number in range(draw(st.integers(1, 3))):
        sent_at += draw(st.integers(0, 1200 * SECOND))
        sent = draw(orders(capabilities, wiring, conditions, sent_at, number))
        delay_s = draw(st.sampled_from((0.0, 0.2, 3.0, 40.0, 1500.0)))
        arrives = NOON + timedelta(microseconds=sent_at - NOON_AT, seconds=delay_s)
        arrivals += [(arrives, sent)] * draw(st.sampled_from((1, 1, 2)))
    # A repeated one may come once more, after a newer one.
    later = [
        (at + timedelta(seconds=90 * i), one) for i, (at, one) in enumerate(arrivals)
    ]
    return Case(station, default_w, sorted(later, key=lambda pair: pair[0]))


@st.composite
def orders(
    draw: st.DrawFn,
    capabilities: Capabilities,
    wiring: EvseWiring,
    conditions: Conditions,
    sent_at: int,
    number: int,
) -> Sent:
    begun_at = sent_at - draw(st.integers(-30 * SECOND, 1800 * SECOND))
    # Steps of an hour's quarter, and some that a clock's tolerance blurs.
    lengths = st.one_of(st.just(900), st.integers(1, 12), st.integers(1, 1800))
    powers = st.one_of(
        st.integers(0, 25_000),
        st.sampled_from((0, 1380, 1518, 4140, 4554, 11_040)),
    )
    offset_s, changes = 0, []
    for power_w in draw(st.lists(powers, min_size=1, max_size=9)):
        changes.append((offset_s, power_w))
        offset_s += draw(lengths)
    told = order(
        capabilities.version,
        *changes,
        profile=PowerProfile(begun_at, tuple(changes)),
        safe_w=draw(powers),
        safe_from_at=begun_at + draw(st.integers(0, offset_s)) * SECOND,
        schedule_id=number + 3,
    )
    steps = [begun_at + offset_s * SECOND for offset_s, _ in changes]
    later = [sent_at, *(at for at in steps if at > sent_at)]
    renew_at = draw(
        st.one_of(st.sampled_from(later), st.integers(sent_at, sent_at + 3600 * SECOND))
    )
    now = msgspec.structs.replace(conditions, sent_at=sent_at, renew_at=renew_at)
    offset = now.clock_offset_us
    has_steps = (
        capabilities.max_periods > 1
        and offset is not None
        and abs(offset) <= 60 * SECOND
    )
    request = etp_request(told, wiring, now, capabilities)
    return Sent(told, now, on_wire(request, capabilities.version), has_steps)


def instants(case: Case, sent: Sent, from_at: datetime) -> set[datetime]:
    """Return where either side changes, and just before: all that can differ."""
    profile = sent.order.profile
    planned = [
        NOON + timedelta(microseconds=profile.start_at - NOON_AT, seconds=offset_s)
        for offset_s, _ in profile.changes
    ]
    edges = [*planned, *case.station.step_instants(), from_at]
    edges.append(NOON + timedelta(microseconds=sent.order.safe_from_at - NOON_AT))
    return {at for edge in edges for at in (edge, edge - MICRO)}
