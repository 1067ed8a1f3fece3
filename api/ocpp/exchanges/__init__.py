"""One module an information exchange; here they are put together."""

from typing import Final

from api.ocpp.exchange import Module
from api.ocpp.exchanges import boot

MODULES: Final[tuple[Module, ...]] = (boot.MODULE,)
