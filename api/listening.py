"""The socket the server listens on: this machine only, and held by no reader."""

import socket


def loopback_socket(port: int, *, stall_s: float = 30.0) -> socket.socket:
    """Return a bound socket of this machine; port 0 takes a free one.

    A peer that acknowledges or takes nothing for ``stall_s`` is dropped by the kernel,
    with what was still to be sent: a server can close such a connection, but it cannot
    get rid of it.
    """
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Linux only; elsewhere the system's own patience, some minutes, decides.
        option = getattr(socket, "TCP_USER_TIMEOUT", None)
        if option is not None:
            listening.setsockopt(socket.IPPROTO_TCP, option, int(stall_s * 1000))
        listening.bind(("127.0.0.1", port))
    except OSError:
        listening.close()
        raise
    return listening
