"""Energy from the rounded registers of a meter: they telescope, nothing is lost."""

import msgspec

from domain.model.values import Instant


class MeterPoint(msgspec.Struct, frozen=True, array_like=True):
    """Rounded registers of import and export [Wh] at an instant; None: not told."""

    at: Instant
    import_wh: int | None = None
    export_wh: int | None = None
