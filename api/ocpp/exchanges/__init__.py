"""One module an information exchange; here they are put together.

What they do when a station connects or is accepted goes out in this order: first what
safety needs, last what takes long.
"""

from typing import Final

from api.ocpp.exchange import Module
from api.ocpp.exchanges import (
    clause_7_3_availability,
    clause_7_3_boot,
    clause_7_3_capabilities,
    clause_7_3_evses,
    clause_7_3_standing_profiles,
    clause_7_5_gaps,
    clause_7_10_safety,
    e1_info1_ev_schedule,
    e1_info1_limits,
    e1_info1_needs,
    e1_info1_readings,
    e1_info1_status,
    e1_info1_status_again,
    e1_info1_transactions,
    e1_info1_transactions_1_6,
    e1_info2_etp,
    e2_info2_incentives,
    e5_info2_enforcement,
    m4_firmware_and_logs,
    planned,
    remote_control,
    s1_reservations,
    s2_authorization,
    unasked,
)

MODULES: Final[tuple[Module, ...]] = (
    clause_7_10_safety.MODULE,
    clause_7_3_boot.MODULE,
    clause_7_5_gaps.MODULE,
    e1_info1_ev_schedule.MODULE,
    e1_info1_limits.MODULE,
    e1_info1_needs.MODULE,
    e1_info1_readings.MODULE,
    e1_info1_transactions.MODULE,
    e1_info1_transactions_1_6.MODULE,
    e1_info1_status.MODULE,
    e1_info1_status_again.MODULE,
    e1_info2_etp.MODULE,
    e5_info2_enforcement.MODULE,
    e2_info2_incentives.MODULE,
    s2_authorization.MODULE,
    remote_control.MODULE,
    m4_firmware_and_logs.MODULE,
    s1_reservations.MODULE,
    clause_7_3_standing_profiles.MODULE,
    unasked.MODULE,
    planned.MODULE,
    clause_7_3_capabilities.MODULE,
    clause_7_3_evses.MODULE,
    clause_7_3_availability.MODULE,
)
