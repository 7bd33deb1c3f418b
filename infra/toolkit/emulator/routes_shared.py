"""What the handlers of the API share: the store behind them, and shapes of answers (platform-contract 1.1)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from toolkit.emulator.answers import answer, paging
from toolkit.emulator.fields import NotFound
from toolkit.emulator.identity import Identity
from toolkit.emulator.objects import Body
from toolkit.emulator.presence import Visits
from toolkit.emulator.serving import Runner
from toolkit.emulator.store import Store

PERMISSIONS = ["CAN_DELETE", "CAN_SHARE", "CAN_UPDATE", "CAN_VIEW"]


class Handlers:
    """A part of the API. `base` gives the platform's own address for URLs in answers."""

    def __init__(
        self,
        store: Store,
        runner: Runner,
        identity: Identity,
        base: Callable[[], str],
        visits: Visits | None = None,
    ) -> None:
        self._visits = visits or Visits()
        self._store = store
        self._runner = runner
        self._identity = identity
        self._base = base
        self._missed: Counter[str] = Counter()  # what was asked for and is not emulated

    def _owner(self) -> Body:
        identity = self._identity
        return {
            "userId": identity.user_id,
            "orgId": identity.org_id,
            "createdBy": identity.email,
            "creatorUserhash": "4f9d2c7a1b3e5d6f8a0b1c2d3e4f5a6b",
            "creatorFirstName": "Local",
            "creatorLastName": "Admin",
            "permissions": PERMISSIONS,
        }

    def _role(self) -> Body:
        who = {"id": self._identity.user_id, "name": self._identity.email, "shareRecipientType": "user"}
        return {**who, "role": "OWNER"}

    def _below(self, kind: str, request: web.Request) -> Body:
        """Give a version, which has to be one of the object that the path names."""
        above = kind.removesuffix("Version")
        self._store.get(above, request.match_info["id"])
        found = self._store.get(kind, request.match_info["version"])
        if found[f"{above}Id"] != request.match_info["id"]:
            raise NotFound(f"{kind} {found['id']} was not found.")
        return found

    def _stored(
        self,
        request: web.Request,
        kind: str,
        shape: Callable[[Body], Body],
        *,
        parent: str | None = None,
        name: str | None = None,
        newest_first: bool = False,
        sort: str = "",
        where: Callable[[Body], bool] | None = None,
    ) -> web.Response:
        """Answer with a page of stored objects; filtering by `where` and sorting by a field read them all."""
        offset, limit = paging(request)
        if not sort and where is None:
            found, total = self._store.find(
                kind, parent=parent, name=name, offset=offset, limit=limit, newest_first=newest_first
            )
            return self._envelope(request, [shape(one) for one in found], total, offset, limit)
        found, _ = self._store.find(kind, parent=parent, name=name, newest_first=newest_first)
        found = [one for one in found if where is None or where(one)]
        if sort:
            key = sort.lstrip("-")
            found.sort(key=lambda one: _sortable(one.get(key)), reverse=sort.startswith("-"))
        page = [shape(one) for one in found[offset : offset + limit]]
        return self._envelope(request, page, len(found), offset, limit)

    def _page(self, request: web.Request, found: list[Body], total: int) -> web.Response:
        offset, limit = paging(request)
        return self._envelope(request, found[offset : offset + limit], total, offset, limit)

    def _envelope(self, request: web.Request, data: list[Body], total: int, offset: int, limit: int) -> web.Response:
        """Wrap a page (1.1): next and previous are absolute addresses or null."""

        def link(start: int) -> str:
            query = {**request.query, "offset": str(start), "limit": str(limit)}
            return f"{self._base()}{request.path}?{urlencode(query)}"

        return answer(
            {
                "count": len(data),
                "next": link(offset + limit) if offset + limit < total else None,
                "previous": link(max(0, offset - limit)) if offset > 0 else None,
                "totalCount": total,
                "data": data,
            }
        )


def _sortable(value: Any) -> tuple[bool, float, str]:
    if isinstance(value, dict):
        value = value.get("at") or json.dumps(value, sort_keys=True)
    number = float(value) if isinstance(value, int | float) else 0.0
    return (value is not None, number, str(value).lower())
