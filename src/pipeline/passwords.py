"""Passwords in addresses of stores: hidden at the entrance, known only where a connection opens.

``postgresql://me:secret@host/db`` becomes ``postgresql://me:***@host/db`` before anything is
composed, so no file, log, parameter or message can hold it. The password itself travels in an
environment variable, which the workers of a sweep inherit, also on a cluster.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence

HIDDEN = "***"
_VARIABLE = "PIPELINE_PASSWORD_"
# scheme://user:password@host; the user may be empty.  The last @ ends the password: it may hold
# any sign, but host:port/ is no user with a password.
_ADDRESS = re.compile(r"(?P<head>[A-Za-z][\w+.-]*://[^\s:/@'\"]*:)(?!\d+/)[^\s'\"]+@")
# Further places of a password: ?password=secret, &sslpassword=secret, PGPASSWORD=secret
_QUERY = re.compile(r"(?P<head>[?&;]\w*(?:password|passwd|pwd|token|secret)=)[^&\s'\"]+", re.I)


def masked(text: str) -> str:
    """Return a text with ``***`` in place of every password of an address in it."""
    return _QUERY.sub(rf"\g<head>{HIDDEN}", _ADDRESS.sub(rf"\g<head>{HIDDEN}@", text))


def hide(text: str) -> str:
    """Return a text as `masked` does, and remember its passwords for `reveal`."""
    hidden = masked(text)
    if hidden != text:
        for address in _addresses(text):
            os.environ[_variable(masked(address))] = address
    return hidden


def hide_all(texts: Sequence[str]) -> list[str]:
    """Return overrides without their passwords; see `hide`."""
    return [hide(text) for text in texts]


def reveal(address: str) -> str:
    """Return an address with its password, where this process or its parent has hidden it."""
    return os.environ.get(_variable(address), address) if HIDDEN in address else address


def revealed(text: str) -> str:
    """Return a text with the passwords of its addresses, as `reveal` does for one address."""
    for address in _addresses(text):
        text = text.replace(address, reveal(address))
    return text


def _addresses(text: str) -> list[str]:
    """Return the addresses in a text: of an override ``key='address'`` only the address."""
    return re.findall(r"[A-Za-z][\w+.-]*://[^\s'\"]+", text)


def _variable(hidden_address: str) -> str:
    return _VARIABLE + hashlib.sha256(hidden_address.encode()).hexdigest()[:16]
