"""The socket the server listens on, held by no reader."""

import socket

LOOPBACK = "127.0.0.1"


def loopback_socket(port: int, *, stall_s: float = 30.0) -> socket.socket:
    """Return a bound socket that only this machine reaches; port 0 takes a free one."""
    return bound_socket(LOOPBACK, port, stall_s=stall_s)


def bound_socket(host: str, port: int, *, stall_s: float = 30.0) -> socket.socket:
    """Return a socket bound to an address or a name of this machine.

    A peer that acknowledges or takes nothing for ``stall_s`` is dropped by the kernel,
    with what was still to be sent: a server can close such a connection, but it cannot
    get rid of it.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Linux only; elsewhere the system's own patience, some minutes, decides.
        option = getattr(socket, "TCP_USER_TIMEOUT", None)
        if option is not None:
            listening.setsockopt(socket.IPPROTO_TCP, option, int(stall_s * 1000))
        listening.bind(address)
    except OSError:
        listening.close()
        raise
    return listening
