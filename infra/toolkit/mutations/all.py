"""All mutations, in the order in which they are tried."""

from __future__ import annotations

from toolkit.mutations.hooks import HOOKS
from toolkit.mutations.model import Mutation
from toolkit.mutations.pages import PAGES
from toolkit.mutations.server import SERVER

MUTATIONS: tuple[Mutation, ...] = (*HOOKS, *SERVER, *PAGES)
