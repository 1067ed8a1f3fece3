"""TLS by files; client certificates, and a count of those that expired (7.9.4.6)."""

import ssl
from collections.abc import Callable
from pathlib import Path

import msgspec

from domain.errors import InvalidValue

# X509_V_ERR_CERT_HAS_EXPIRED
_EXPIRED = 10


class TlsFiles(msgspec.Struct, frozen=True):
    """Certificate and key of the server; with ``client_ca`` clients need one too."""

    cert: Path
    key: Path
    client_ca: Path | None = None

    def settings(self) -> dict[str, object]:
        """Return uvicorn's settings."""
        found: dict[str, object] = {
            "ssl_certfile": str(self.cert),
            "ssl_keyfile": str(self.key),
        }
        if self.client_ca is not None:
            found["ssl_ca_certs"] = str(self.client_ca)
            found["ssl_cert_reqs"] = ssl.CERT_REQUIRED
        return found


def tls_files(
    cert: Path | None, key: Path | None, client_ca: Path | None
) -> TlsFiles | None:
    """Return the files of TLS; None without any; some without others are refused."""
    if cert is None and key is None and client_ca is None:
        return None
    if cert is None or key is None:
        raise InvalidValue("--tls-cert and --tls-key are given together")
    for option, path in (
        ("--tls-cert", cert),
        ("--tls-key", key),
        ("--tls-client-ca", client_ca),
    ):
        if path is not None and not path.is_file():
            raise InvalidValue(f"{option} {path}: there is no such file")
    return TlsFiles(cert, key, client_ca)


def harden(context: ssl.SSLContext, expired: Callable[[], None]) -> None:
    """Refuse old versions of TLS, and tell of client certificates that expired."""

    class Watched(ssl.SSLObject):
        """One connection's TLS."""

        def do_handshake(self) -> None:
            """Shake hands; the one place where a certificate is found bad."""
            try:
                super().do_handshake()
            except ssl.SSLCertVerificationError as error:
                if error.verify_code == _EXPIRED:
                    expired()
                raise

    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslobject_class = Watched
