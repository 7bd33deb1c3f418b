"""What the local platform keeps: one store of all kinds of objects. Knows no HTTP.

Methods are named for the operations of the API; what every kind has in common is in `objects`.
"""

from __future__ import annotations

from toolkit.emulator.store_applications import Applications
from toolkit.emulator.store_environments import Environments
from toolkit.emulator.store_organisation import Organisation


class Store(Environments, Applications, Organisation):
    """The objects of one local platform, in the folder `data`; safe to use from several threads."""
