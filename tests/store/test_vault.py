"""Keys of subjects: found, used, destroyed, and then in no byte of the store."""

import contextlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from domain.errors import Refused, StoreError, StoreFull, Unknown, WrongMasterKey
from domain.model.plan_events import SubjectErased
from domain.model.session_events import AuthorizationRequested
from domain.ports import Append, Batch
from domain.store.erasure import ERASURES_STREAM, erase_subject
from domain.store.store import Store
from domain.store.vault import Vault, _derive
from domain.store.verify import verify
from tests.store.fakes import MONDAY, FakeClock, SeededIds

MASTER = bytes(range(32))
CONTEXT = "session-1/authorization.requested"


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    vault = Vault(tmp_path / "vault.sqlite", master_key=MASTER, ids=SeededIds())
    yield vault
    vault.close()


def wrapped_key(path: Path, subject_id: str) -> tuple[bytes, bytes]:
    """Return a subject's key and its wrapped form, by code of our own."""
    with closing(sqlite3.connect(path)) as connection:
        key_id, wrapped = connection.execute(
            "SELECT key_id, wrapped FROM keys WHERE subject_id = ?", (subject_id,)
        ).fetchone()
    wrapping = AESGCM(_derive(MASTER, b"wrapping"))
    return wrapping.decrypt(wrapped[:12], wrapped[12:], key_id.encode()), wrapped


def holders(folder: Path, secret: bytes) -> list[str]:
    """Return the files of a folder with the secret in any of their bytes."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return [path.name for path in files if secret in path.read_bytes()]


def test_a_credential_finds_its_subject(vault: Vault) -> None:
    subject = vault.subject_of("rfid", "04AABBCC")
    assert vault.subject_of("rfid", "04AABBCC") == subject
    assert vault.find_subject("rfid", "04AABBCC") == subject
    assert vault.find_subject("rfid", "04AABBCD") is None
    assert vault.find_subject("emaid", "04AABBCC") is None
    assert vault.subject_of("emaid", "04AABBCC") != subject


def test_a_group_opens_where_it_was_sealed_only(vault: Vault) -> None:
    sealed = vault.seal(vault.subject_of("rfid", "A"), CONTEXT, b"personal")
    assert vault.open(sealed, CONTEXT) == b"personal"
    changed = msgspec.structs.replace(sealed, ciphertext=sealed.ciphertext[:-1] + b"?")
    elsewhere = "session-2/authorization.requested"
    for group, context in ((sealed, elsewhere), (changed, CONTEXT)):
        with pytest.raises(StoreError, match="is not what was sealed"):
            vault.open(group, context)


def test_a_session_can_be_its_own_subject(vault: Vault) -> None:
    first = vault.seal("session-9", CONTEXT, b"one")
    second = vault.seal("session-9", CONTEXT, b"two")
    assert first.key_id == second.key_id
    assert first.nonce != second.nonce


def test_keys_outlive_the_process(vault: Vault, tmp_path: Path) -> None:
    subject = vault.subject_of("rfid", "A")
    sealed = vault.seal(subject, CONTEXT, b"personal")
    vault.close()
    again = Vault(tmp_path / "vault.sqlite", master_key=MASTER, ids=SeededIds("2"))
    assert again.open(sealed, CONTEXT) == b"personal"
    assert again.subject_of("rfid", "A") == subject
    again.close()


def test_a_destroyed_key_opens_nothing_and_seals_nothing(vault: Vault) -> None:
    subject = vault.subject_of("rfid", "A")
    other = vault.subject_of("rfid", "B")
    sealed = vault.seal(subject, CONTEXT, b"personal")
    kept = vault.seal(other, CONTEXT, b"kept")
    assert vault.destroy(subject) == sealed.key_id
    assert vault.destroy(subject) == sealed.key_id
    assert vault.open(sealed, CONTEXT) is None
    assert vault.open(kept, CONTEXT) == b"kept"
    assert vault.find_subject("rfid", "A") is None
    assert vault.subject_of("rfid", "A") != subject
    with pytest.raises(Refused, match="was destroyed"):
        vault.seal(subject, CONTEXT, b"more")
    with pytest.raises(Unknown, match="'nobody'"):
        vault.destroy("nobody")


def test_another_master_key_is_refused(vault: Vault, tmp_path: Path) -> None:
    vault.close()
    for readonly in (False, True):
        with pytest.raises(WrongMasterKey, match=r"vault\.sqlite"):
            Vault(
                tmp_path / "vault.sqlite",
                master_key=b"x" * 32,
                ids=SeededIds(),
                readonly=readonly,
            )


def test_a_reader_opens_what_the_writer_sealed(vault: Vault, tmp_path: Path) -> None:
    sealed = vault.seal("session-9", CONTEXT, b"personal")
    path = tmp_path / "vault.sqlite"
    reader = Vault(path, master_key=MASTER, ids=SeededIds(), readonly=True)
    assert reader.open(sealed, CONTEXT) == b"personal"
    reader.close()


def test_an_erased_subject_is_in_no_byte_of_the_store(tmp_path: Path) -> None:
    token = "04-DE-AD-BE-EF-17"
    with Store(
        tmp_path, clock=FakeClock(), ids=SeededIds(), master_key=MASTER
    ) as store:
        subject = store.vault.subject_of("rfid", token)
        sealed = store.vault.seal(subject, CONTEXT, token.encode())
        event = AuthorizationRequested(
            session_id="1", evse_id="e", subject_id=subject, credential=sealed
        )
        store.log.append(
            Batch(appends=(Append("session-1", (event,), MONDAY, 0),), actor="a")
        )
        key, wrapped = wrapped_key(tmp_path / "vault.sqlite", subject)
        credential = store.vault._credential("rfid", token)
        assert holders(tmp_path, wrapped)
        assert holders(tmp_path, credential)
        assert store.vault.open(sealed, CONTEXT) == token.encode()

        erase_subject(store.log, store.vault, subject, at=MONDAY, actor="dpo")
        repeated = erase_subject(
            store.log, store.vault, subject, at=MONDAY, actor="dpo"
        )
        assert repeated.repeated
        for secret in (token.encode(), key, wrapped, wrapped[12:], credential):
            assert holders(tmp_path, secret) == []
        assert store.vault.open(sealed, CONTEXT) is None
        (row,) = store.log.read_stream(ERASURES_STREAM)
        assert row.event == SubjectErased(key_id=sealed.key_id)
    for secret in (token.encode(), key, wrapped, wrapped[12:], credential):
        assert holders(tmp_path, secret) == []
    report = verify(tmp_path)
    assert report.is_intact
    assert report.dropped == 0


def test_no_page_keeps_a_copy_of_what_was_destroyed(
    vault: Vault, tmp_path: Path
) -> None:
    """With hundreds of keys pages split, and rows leave copies where they were."""
    path = tmp_path / "vault.sqlite"
    subjects = [vault.subject_of("rfid", f"token-{n}") for n in range(400)]
    doomed = {
        n: wrapped_key(path, subjects[n])[1] for n in (0, 1, 57, 123, 200, 311, 399)
    }
    for n in doomed:
        vault.destroy(subjects[n])
    for n, wrapped in doomed.items():
        assert holders(tmp_path, wrapped[12:]) == []
        assert holders(tmp_path, vault._credential("rfid", f"token-{n}")) == []
    assert vault.find_subject("rfid", "token-2") == subjects[2]


def test_a_full_disk_leaves_no_half_subject(vault: Vault) -> None:
    execute = vault._connection.execute
    execute("PRAGMA max_page_count = 1").fetchone()
    found = 0
    with contextlib.suppress(StoreFull):
        for found in range(200):
            vault.subject_of("rfid", str(found))
    assert 0 < found < 199
    execute("PRAGMA max_page_count = 100000").fetchone()
    assert execute("SELECT count(*) FROM keys").fetchone() == (found,)
    assert vault.find_subject("rfid", str(found)) is None
    assert vault.subject_of("rfid", str(found))
