"""On which addresses the local platform may listen. Pure."""

from __future__ import annotations

import ipaddress

LOOPBACK = "127.0.0.1"


def refuse_exposure(host: str, *, expose: bool) -> str:
    """Say why the platform may not listen on an address; empty when it may.

    Whoever reaches it can try tokens and see the sign-in page, and applications run with tokens of their own: other
    machines get to it only when somebody has said so.
    """
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        return f"{host} is no address; give one of this machine's, like {LOOPBACK}"
    if loopback or expose:
        return ""
    return f"{host} can be reached from other machines; use --expose if that is wanted, or {LOOPBACK}"
