"""Messages and datatypes of OCPP 2.x by version, for what both say alike."""

from collections.abc import Mapping
from types import ModuleType
from typing import Final

from api.ocpp.v21 import datatypes as d21
from api.ocpp.v21 import messages as m21
from api.ocpp.v201 import datatypes as d201
from api.ocpp.v201 import messages as m201

V2_TYPES: Final[Mapping[str, tuple[ModuleType, ModuleType]]] = {
    "2.0.1": (m201, d201),
    "2.1": (m21, d21),
}
