"""Keys of subjects under a master key, and finding a subject without storing it."""

import hmac
import sqlite3
import threading
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from domain.errors import Refused, StoreError, Unknown, WrongMasterKey
from domain.model.values import Sealed
from domain.ports import Ids
from domain.store.beside import check_digests, with_digest
from domain.store.sqlite import as_store_error, connect, connect_readonly

KEY_BYTES = 32
_NONCE_BYTES = 12

_TABLES = """
CREATE TABLE key_check (value BLOB NOT NULL, digest BLOB NOT NULL);
CREATE TABLE keys (
    key_id TEXT PRIMARY KEY, subject_id TEXT NOT NULL UNIQUE, wrapped BLOB,
    digest BLOB NOT NULL
);
CREATE TABLE directory (
    credential BLOB PRIMARY KEY, subject_id TEXT NOT NULL, digest BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX directory_by_subject ON directory (subject_id);
"""


class Vault:
    """`ports.Vault` on one SQLite file; thread-safe.

    A destroyed key leaves its opaque id and the subject's, so that both are never
    used again; the wrapped key and the directory entries leave every byte of the file.
    """

    def __init__(
        self, path: Path, *, master_key: bytes, ids: Ids, readonly: bool = False
    ) -> None:
        self._ids = ids
        self._lock = threading.RLock()
        self._wrapping = AESGCM(_derive(master_key, b"wrapping"))
        self._directory_key = _derive(master_key, b"directory")
        self._ciphers: dict[str, AESGCM] = {}
        self._connection = connect_readonly(path) if readonly else connect(path)
        try:
            if not readonly:
                self._connection.execute("PRAGMA secure_delete = ON")
                self._create(master_key)
            check_digests(self._connection, "keys")
            self._check(path, master_key)
        except BaseException:
            self._connection.close()
            raise

    def subject_of(self, kind: str, plaintext: str) -> str:
        """Return the subject a credential belongs to; a new one on first sight."""
        with self._lock:
            found = self.find_subject(kind, plaintext)
            if found is not None:
                return found
            subject_id = self._ids.new_id()
            self._new_key(subject_id, self._credential(kind, plaintext))
            return subject_id

    def find_subject(self, kind: str, plaintext: str) -> str | None:
        """Return the subject of a credential seen before."""
        with self._lock:
            found = self._connection.execute(
                "SELECT subject_id FROM directory WHERE credential = ?",
                (self._credential(kind, plaintext),),
            ).fetchone()
        return None if found is None else str(found[0])

    def seal(self, subject_id: str, context: str, group: bytes) -> Sealed:
        """Encrypt a group of personal fields under the subject's key.

        A subject without a key gets one: a session of an unknown driver is its own
        subject. One whose key was destroyed is refused.
        """
        with self._lock:
            found = self._connection.execute(
                "SELECT key_id FROM keys WHERE subject_id = ?", (subject_id,)
            ).fetchone()
            key_id = self._new_key(subject_id) if found is None else str(found[0])
            cipher = self._cipher(key_id)
            if cipher is None:
                raise Refused(f"the key of subject {subject_id!r} was destroyed")
            nonce = self._ids.random(_NONCE_BYTES)
        return Sealed(
            key_id, nonce, cipher.encrypt(nonce, group, _bound(key_id, context))
        )

    def open(self, sealed: Sealed, context: str) -> bytes | None:
        """Return the group; None when its key was destroyed.

        Raises
        ------
        StoreError
            when the group was changed or belongs to another context.
        """
        with self._lock:
            cipher = self._cipher(sealed.key_id)
        if cipher is None:
            return None
        bound = _bound(sealed.key_id, context)
        try:
            return cipher.decrypt(sealed.nonce, sealed.ciphertext, bound)
        except InvalidTag:
            raise StoreError(
                f"the group of key {sealed.key_id!r} is not what was sealed for "
                f"{context!r}"
            ) from None

    def destroy(self, subject_id: str) -> str:
        """Destroy the subject's key and directory entries; return the key's id."""
        with self._lock:
            execute = self._connection.execute
            found = execute(
                "SELECT key_id FROM keys WHERE subject_id = ?", (subject_id,)
            ).fetchone()
            if found is None:
                raise Unknown(f"no key of subject {subject_id!r} is in the vault")
            (key_id,) = found
            self._ciphers.pop(key_id, None)
            try:
                execute("BEGIN IMMEDIATE")
                *_, digest = with_digest(key_id, subject_id, None)
                execute(
                    "UPDATE keys SET wrapped = NULL, digest = ? WHERE key_id = ?",
                    (digest, key_id),
                )
                execute("DELETE FROM directory WHERE subject_id = ?", (subject_id,))
                execute("COMMIT")
                self._scrub()
            except sqlite3.Error as error:
                if self._connection.in_transaction:
                    execute("ROLLBACK")
                raise as_store_error(error, "destroying a key") from error
            return str(key_id)

    def close(self) -> None:
        """Close the file and forget the keys in memory."""
        with self._lock:
            self._ciphers.clear()
            self._connection.close()

    def _scrub(self) -> None:
        """Leave no copy in the WAL; ``secure_delete`` has zeroed those in the file."""
        busy, _, _ = self._connection.execute(
            "PRAGMA wal_checkpoint(TRUNCATE)"
        ).fetchone()
        if busy:
            raise sqlite3.OperationalError("a reader kept the vault's WAL in use")

    def _new_key(self, subject_id: str, credential: bytes | None = None) -> str:
        key_id = self._ids.new_id()
        nonce = self._ids.random(_NONCE_BYTES)
        wrapped = nonce + self._wrapping.encrypt(
            nonce, self._ids.random(KEY_BYTES), key_id.encode()
        )
        execute = self._connection.execute
        try:
            execute("BEGIN IMMEDIATE")
            execute(
                "INSERT INTO keys VALUES (?,?,?,?)",
                with_digest(key_id, subject_id, wrapped),
            )
            if credential is not None:
                execute(
                    "INSERT INTO directory VALUES (?,?,?)",
                    with_digest(credential, subject_id),
                )
            execute("COMMIT")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                execute("ROLLBACK")
            raise as_store_error(error, "writing a key") from error
        return key_id

    def _cipher(self, key_id: str) -> AESGCM | None:
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            found = self._connection.execute(
                "SELECT wrapped FROM keys WHERE key_id = ?", (key_id,)
            ).fetchone()
            if found is None or found[0] is None:
                return None
            nonce, wrapped = found[0][:_NONCE_BYTES], found[0][_NONCE_BYTES:]
            cipher = AESGCM(self._wrapping.decrypt(nonce, wrapped, key_id.encode()))
            self._ciphers[key_id] = cipher
        return cipher

    def _credential(self, kind: str, plaintext: str) -> bytes:
        text = kind.encode() + b"\x00" + plaintext.encode()
        return hmac.digest(self._directory_key, text, sha256)

    def _create(self, master_key: bytes) -> None:
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        (tables,) = execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if not tables:
            for statement in _TABLES.split(";"):
                execute(statement)
            check = _derive(master_key, b"check")
            execute("INSERT INTO key_check VALUES (?,?)", with_digest(check))
        execute("COMMIT")

    def _check(self, path: Path, master_key: bytes) -> None:
        (check,) = self._connection.execute("SELECT value FROM key_check").fetchone()
        if not hmac.compare_digest(check, _derive(master_key, b"check")):
            raise WrongMasterKey(f"{path} was made under another master key")


def _derive(master_key: bytes, purpose: bytes) -> bytes:
    info = b"voltledger vault 1 " + purpose
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=info).derive(master_key)


def _bound(key_id: str, context: str) -> bytes:
    return key_id.encode() + b"\x00" + context.encode()
