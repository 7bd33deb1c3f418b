"""Every question that the smoke test asks, in the order of the report."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from toolkit.report import Check

QUESTIONS = MappingProxyType(
    {
        "source.ships": "Does no file, and no secret in one, keep the app from shipping?",
        "source.hooks": "Are both hooks there, as the platform reads them?",
        "source.package": "Can everything that package.json names be had on the platform?",
        "source.lockfile": "Do package.json and bun.lock agree?",
        "source.size": "Is what ships of a reasonable size?",
        "build.hook": "Does build-app.sh end well, within the bundle's memory?",
        "build.output": "Did build-app.sh do what it was meant to?",
        "start.listens": "Does the app answer on port 8080, at an address that others reach?",
        "start.probe": "Is the platform's probe answered without sign-in?",
        "start.stable": "Does it still run after the first requests?",
        "start.log": "Does it write no more to its log than anybody can read?",
        "environment.token": "Does the serving process hold the token of .env?",
        "environment.settings": "Does the serving process know its platform, and run as in production?",
        "environment.leaks": "Does no part of a token show in logs, answers or files?",
        "environment.private": "Are .env and the sources not to be downloaded?",
        "front.page": "Does the page come up through the platform's proxy?",
        "front.prefix": "Does every URL stay below the app's prefix?",
        "front.assets": "Does every asset answer as browsers demand?",
        "crawl.links": "Does every link lead somewhere?",
        "crawl.encoding": "Are texts read in the encoding that they are written in?",
        "crawl.hosts": "Can visitors reach the other hosts that the pages name?",
        "crawl.complete": "Did the crawl come to its end?",
        "browser.page": "Does the page show something in a real browser?",
        "browser.prefix": "Does the browser stay below the app's prefix, whatever is clicked?",
        "browser.requests": "Does everything that the browser asks for arrive?",
        "browser.styles": "Does every stylesheet take effect?",
        "browser.blocked": "Does the browser block nothing of the app (CSP, mixed content)?",
        "browser.hosts": "Does the page ask no host that visitors cannot reach?",
        "browser.errors": "Do the app's scripts run without errors?",
        "browser.sockets": "Do WebSockets and event streams connect?",
        "browser.deeplink": "Does a page that was reached by clicks come up again when it is reloaded?",
        "browser.cookies": "Do cookies stay within the app's prefix?",
        "browser.explored": "How far did the browser come?",
        "lifecycle.sigterm": "Does the app stop when it is told to?",
        "lifecycle.replica": "Does a second replica come up and serve the same?",
        "lifecycle.restart": "Does it come up again after a stop?",
        "lifecycle.left-behind": "Is nothing of this test left behind?",
    }
)
FAMILIES: tuple[str, ...] = tuple(dict.fromkeys(name.partition(".")[0] for name in QUESTIONS))


def with_question(check: Check) -> Check:
    """Give the answer with its question."""
    return replace(check, question=QUESTIONS.get(check.id, ""))
