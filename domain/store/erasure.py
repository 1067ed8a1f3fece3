"""Erasing a subject: its key goes, the ledger says so."""

from domain.model.plan_events import SubjectErased
from domain.model.values import Instant
from domain.ports import Answer, Append, Batch, Log, Vault

ERASURES_STREAM = "erasures"


def erase_subject(
    log: Log, vault: Vault, subject_id: str, *, at: Instant, actor: str
) -> Answer:
    """Destroy the keys of a subject and record that it was done.

    May be repeated after a crash between the two: neither is done twice.
    """
    key_id = vault.destroy(subject_id)
    erased = SubjectErased(key_id=key_id)
    return log.append(
        Batch(
            actor=actor,
            command_id=f"erase-{key_id}",
            request=key_id.encode(),
            appends=(Append(ERASURES_STREAM, (erased,), at),),
        )
    )
