"""Events of the embedded back office (stream ``contract-<id>``): who may charge."""

from domain.model.values import Event, Instant, Sealed


class ContractRegistered(Event, frozen=True):
    """An EV user has a contract from ``valid_from_at`` to ``valid_until_at``.

    ``holder`` seals the credential and what the operator calls its holder;
    ``valid_until_at`` 0: no end is agreed. ``v2g``: it allows energy from the EV.
    Contracts of one ``group_id`` may end each other's charges and use each other's
    reservations; empty: of none.
    """

    contract_id: str
    subject_id: str
    valid_from_at: Instant
    valid_until_at: Instant = 0
    v2g: bool = False
    group_id: str = ""
    holder: Sealed | None = None


class ContractEnded(Event, frozen=True):
    """The contract no longer holds."""

    contract_id: str
    reason: str
