"""One module an information exchange; here they are put together."""

from typing import Final

from api.ocpp.exchange import Module
from api.ocpp.exchanges import boot, s2_authorization

MODULES: Final[tuple[Module, ...]] = (
    boot.MODULE,
    s2_authorization.MODULE,
)
