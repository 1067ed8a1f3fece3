"""The first administrator's key of a live store, made at its first start.

It goes into a file for its owner only, beside the master key, and never to the
terminal: what a server prints ends up in journals and logs that many read and that are
kept for years. Whoever reads the file deletes it then.
"""

import os
from pathlib import Path

from api.security.keys import KeyRegister, draw_key
from api.security.permissions import Permission
from api.security.principal import Role
from domain.model.access_events import ALL, CommandAudited
from domain.ports import System
from domain.use_cases.clause_7_9_4_5_access import IssueKey, issue_key
from domain.use_cases.shared_path import By

LABEL = "first administrator"


def local_by(
    system: System, route: str, permission: Permission = Permission.KEYS_KEEP
) -> By:
    """Return who commands at this machine, not over the API."""
    actor = "local-administrator"
    audited = CommandAudited(
        actor=actor,
        roles=(Role.ADMIN.value,),
        permission=permission.value,
        route=route,
        request_id="",
    )
    return By(actor=actor, at=system.clock.now(), audited=audited)


def make_first_key(system: System, keys: KeyRegister, folder: Path) -> Path | None:
    """Return the file of a new key; None when there ever was one of an administrator.

    The file is there before the key is good: a crash between leaves a store without a
    key, and the next start makes another.
    """
    if keys.had_admin():
        return None
    new = draw_key(keys.tenant, system.ids)
    path = folder / f"first-admin-{keys.tenant}-{new.key_id}.key"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(new.text + "\n")
        file.flush()
        os.fsync(file.fileno())
    command = IssueKey(label=LABEL, roles=(Role.ADMIN.value,), zones=(ALL,))
    by = local_by(system, "voltledger serve")
    issue_key(system, command, by, key_id=new.key_id, digest=new.digest)
    keys.refresh(new.key_id)
    return path
