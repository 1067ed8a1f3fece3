"""7.3 What a station is served before it is accepted, by how its boot is answered.

Messages about transactions are taken in any case: what they say is somebody's money.
While a station is pending its variables may be read and set, so what reports them is
served too. 2.x has the rest refused; 1.6 only says that none should come, and stations
send their status all the same, which does no harm. A rejected one may only boot.
"""

from typing import Final

from api.ocpp.peers import Standing
from api.ocpp.unreadable import TRANSACTION_ACTIONS
from api.ocpp.violations import Version

_ALWAYS: Final = frozenset({"BootNotification", *TRANSACTION_ACTIONS})
# What answers a read of ours, or what only the operator's own work brings about.
_WHILE_PENDING: Final = frozenset(
    {
        *("NotifyReport", "NotifyMonitoringReport", "SignCertificate"),
        *("FirmwareStatusNotification", "LogStatusNotification"),
        *("PublishFirmwareStatusNotification", "SecurityEventNotification"),
    }
)


def is_admitted(standing: Standing, version: Version, action: str) -> bool:
    """Whether a station's message is served as it stands."""
    match standing:
        case Standing.ACCEPTED:
            return True
        case Standing.PENDING:
            is_free = version == "1.6" or action in _WHILE_PENDING
            return is_free or action in _ALWAYS
        case Standing.REJECTED:
            return action in _ALWAYS
