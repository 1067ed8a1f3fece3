"""Stations that report to whatever serves them, and take nothing: of OCPP 2.0.1 alone.

Their messages are of one size and say the same power, so that servers are compared by
what they do with a message.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from benchmarks.speed.ocpp_fleet import Figures, Fleet, report
from benchmarks.speed.ocpp_stations import Station

_EVENT: Final = (
    b'[2,"%d","TransactionEvent",{"eventType":"%s","timestamp":"%s",'
    b'"triggerReason":"%s","seqNo":%d,"transactionInfo":{"transactionId":"%s",'
    b'"chargingState":"Charging"},"evse":{"id":1,"connectorId":1},"meterValue":['
    b'{"timestamp":"%s","sampledValue":[{"value":%d.0,"context":"Sample.Periodic",'
    b'"measurand":"Energy.Active.Import.Register","location":"Outlet",'
    b'"unitOfMeasure":{"unit":"Wh"}},{"value":7360.5,"context":"Sample.Periodic",'
    b'"measurand":"Power.Active.Import","location":"Outlet",'
    b'"unitOfMeasure":{"unit":"W"}}]}]}]'
)
_REST_S: Final = 1.0


class Reporter(Station):
    """A station that reports a transaction, and refuses all it is asked."""

    def start_frame(self, ago_s: float = 0.0) -> bytes:
        """Return the beginning of its transaction."""
        return self._told(b"Started", b"CablePluggedIn")

    def reading_frame(self, ago_s: float = 0.0) -> bytes:
        """Return a reading of power and register."""
        return self._told(b"Updated", b"MeterValuePeriodic")

    def answer(self, call: bytes) -> bytes:
        """Refuse."""
        return b'[4,"%s","NotSupported","",{}]' % call.split(b'"', 2)[1]

    def _told(self, kind: bytes, trigger: bytes) -> bytes:
        self.sent += 1
        now = datetime.now(UTC).isoformat(timespec="milliseconds").encode()
        name = b"tx-%d" % self.number
        return _EVENT % (
            self.sent, kind, now, trigger, self.sent, name, now, self.sent
        )  # fmt: skip


async def load(
    port: int, connections: int, per_s: float, for_s: float, begin: Callable[[], None]
) -> Figures:
    """Let stations ``s0``, ``s1`` ... each with a transaction, report for a time.

    ``begin`` is called when all are connected and their transactions have begun.
    """
    fleet = Fleet(connections, versions=("ocpp2.0.1",), kind=Reporter)
    await fleet.arrive(port, connections)
    await asyncio.sleep(_REST_S)
    begin()
    return await report(fleet, fleet.stations, per_s, for_s)
