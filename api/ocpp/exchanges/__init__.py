"""One module an information exchange; here they are put together."""

from typing import Final

from api.ocpp.exchange import Module
from api.ocpp.exchanges import (
    clause_7_3_boot,
    e1_info1_readings,
    remote_control,
    s2_authorization,
)

MODULES: Final[tuple[Module, ...]] = (
    clause_7_3_boot.MODULE,
    e1_info1_readings.MODULE,
    s2_authorization.MODULE,
    remote_control.MODULE,
)
