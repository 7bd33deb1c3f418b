"""A believable organisation for a new local platform: 25 people, 40 use cases, 600 notebooks over nine months.

The same every time for the same day: names, owners and intervals come from a fixed seed, times count back from `today`.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from datetime import datetime, timedelta

from toolkit.emulator.objects import Body
from toolkit.emulator.store import Store

USERS, USE_CASES, NOTEBOOKS, MONTHS = 25, 40, 600, 9
FIRST = [
    "Amara",
    "Ben",
    "Chiara",
    "Daniel",
    "Elif",
    "Felix",
    "Grace",
    "Hiro",
    "Ines",
    "Jonas",
    "Keiko",
    "Liam",
    "Maya",
    "Noor",
    "Oskar",
    "Priya",
    "Quentin",
    "Rosa",
    "Samir",
    "Tomas",
    "Uma",
    "Victor",
    "Wanda",
    "Yara",
    "Zoe",
]
LAST = [
    "Okafor",
    "Larsen",
    "Rossi",
    "Weber",
    "Yilmaz",
    "Novak",
    "Murphy",
    "Tanaka",
    "Costa",
    "Berg",
    "Sato",
    "Walsh",
    "Patel",
    "Haddad",
    "Lind",
    "Sharma",
    "Moreau",
    "Garcia",
    "Nasser",
    "Silva",
    "Rao",
    "Petrov",
    "Kowalska",
    "Aziz",
    "Keller",
]
SUBJECTS = """
Customer churn
Claims triage
Demand forecast
Credit risk
Predictive maintenance
Price elasticity
Fraud alerts
Next best offer
Store traffic
Energy load
Readmission risk
Supplier delays
Call routing
Warranty costs
Lead scoring
Inventory targets
Loan defaults
Network outages
Crop yield
Sales pipeline
""".strip().splitlines()
SCOPES = ("EMEA", "North America", "Japan", "retail", "pilot", "2026", "wholesale", "Nordics", "B2B", "redesign")
TOPICS = """
data quality
feature ideas
baseline
monthly report
drift check
backtest
label audit
model comparison
segment profile
threshold tuning
data preparation
explanations
cost curve
stakeholder demo
scoring job
""".strip().splitlines()


def plant(store: Store, org_id: str, today: datetime) -> None:
    """Fill an empty store; `today` is the newest day that anything happened on."""
    chance = random.Random(20260401)  # noqa: S311 - believable data, no secrets
    people = list(_people(chance, org_id))
    with store.transaction():
        use_cases = list(_use_cases(chance, people, today))
        notebooks = list(_notebooks(chance, people, use_cases, org_id, today))
        for use_case in use_cases:
            use_case["notebooksCount"] = sum(book["useCaseId"] == use_case["id"] for book in notebooks)
            store.add("useCase", use_case)
        for notebook in notebooks:
            store.add("notebook", notebook, parent=notebook["useCaseId"])


def _id(kind: str, number: int) -> str:
    return hashlib.sha256(f"{kind} {number}".encode()).hexdigest()[:24]


def _people(chance: random.Random, org_id: str) -> Iterator[Body]:
    last_names = chance.sample(LAST, USERS)
    for number, (first, last) in enumerate(zip(FIRST, last_names, strict=True)):
        yield {
            "id": _id("user", number),
            "orgId": org_id,
            "activated": number % 11 != 7,
            "username": f"{first}.{last}@local.example".lower(),
            "firstName": first,
            "lastName": last,
            "gravatarHash": hashlib.md5(f"{first}{last}".encode(), usedforsecurity=False).hexdigest(),
            "tenantPhase": "customer",
        }


def _use_cases(chance: random.Random, people: list[Body], today: datetime) -> Iterator[Body]:
    titles = [f"{subject} {scope}" for subject in SUBJECTS for scope in SCOPES]
    for number, title in enumerate(chance.sample(titles, USE_CASES)):
        created = today - timedelta(days=chance.uniform(5, MONTHS * 30))
        owner = chance.choice(people)
        yield {
            "id": _id("use case", number),
            "name": title,
            "description": f"{title}: owned by {owner['firstName']} {owner['lastName']}." if number % 3 else "",
            "createdAt": _text(created),
            "updatedAt": _text(_between(chance, created, today)),
            "created": _text(created),
            "createdBy": owner["id"],
            "owners": [owner],
            "notebooksCount": 0,
        }


def _notebooks(
    chance: random.Random, people: list[Body], use_cases: list[Body], org_id: str, today: datetime
) -> Iterator[Body]:
    # A few use cases hold most notebooks, and three hold none, as in real organisations.
    weights = [0.0 if number % 13 == 5 else chance.paretovariate(1.2) for number in range(len(use_cases))]
    for number in range(NOTEBOOKS):
        use_case = chance.choices(use_cases, weights)[0]
        born = datetime.fromisoformat(use_case["createdAt"])
        created = _between(chance, born, today)
        updated = _between(chance, created, today)
        viewed = _between(chance, updated, today)
        author, editor, viewer = chance.choices(people, k=3)
        scheduled = chance.random() < 0.12
        yield {
            "id": _id("notebook", number),
            "type": "codespace" if chance.random() < 0.18 else "notebook",
            "name": f"{use_case['name'].split()[0]} {chance.choice(TOPICS)} {number % 40 + 1}",
            "description": None,
            "orgId": org_id,
            "useCaseId": use_case["id"],
            "useCaseName": use_case["name"],
            "created": {"at": _text(created), "by": author},
            "updated": {"at": _text(updated), "by": editor},
            "lastViewed": {"at": _text(viewed), "by": viewer},
            "session": _session(chance, number, viewer, viewed) if chance.random() < 0.08 else None,
            "hasSchedule": scheduled,
            "hasEnabledSchedule": scheduled and chance.random() < 0.7,
        }


def _session(chance: random.Random, number: int, user: Body, started: datetime) -> Body:
    return {
        "status": chance.choice(("running", "running", "stopped", "starting")),
        "notebookId": _id("notebook", number),
        "userId": user["id"],
        "startedAt": _text(started),
        "sessionType": "interactive",
    }


def _between(chance: random.Random, start: datetime, end: datetime) -> datetime:
    return start + (end - start) * chance.random()


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
