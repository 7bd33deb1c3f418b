"""What every resource of the stand-in provider can do, and the errors that its operations end with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from toolkit.emulator.provider_plan import UNKNOWN, ResourceType, Values
from toolkit.emulator.provider_rest import ApiError, Platform


class PlanProblem(Exception):
    """Planning failed; worded as the real plugin words a list of one diagnostic."""

    def __init__(self, summary: str, detail: object) -> None:
        super().__init__(f"1 error occurred:\n\t* : {summary} - {detail}\n\n")


class OperationFailed(Exception):
    """An operation failed after planning: "summary: detail"."""

    def __init__(self, summary: str, detail: object) -> None:
        super().__init__(f"{summary}: {detail}")


class VanishedError(OperationFailed):
    """An update met an object that is gone: the provider then has no state to return (platform-contract 5, 20a)."""

    def __init__(self) -> None:
        super().__init__(
            "Missing Resource State After Update",
            "The Terraform Provider unexpectedly returned no resource state after having no errors in the resource "
            "update. This is always an issue in the Terraform Provider and should be reported to the provider "
            "developers.",
        )


class Resource(Protocol):
    """One resource type: what it looks like, what it finds on disk, and how it talks to the platform."""

    @property
    def kind(self) -> ResourceType:
        """The schema."""

    def facts(self, config: Mapping[str, Any]) -> Values:
        """What planning has to know from disk. Raises PlanProblem."""

    def create(self, platform: Platform, planned: Values) -> Values:
        """Make it and return its state, id included."""

    def read(self, platform: Platform, state: Values) -> Values | None:
        """Return the state brought up to date, or None when it is gone."""

    def update(self, platform: Platform, planned: Values, prior: Values, config: Values) -> Values:
        """Turn `prior` into `planned` and return the state."""

    def delete(self, platform: Platform, state: Values) -> None:
        """Delete it; already gone is fine."""


def known(value: Any) -> bool:
    """Is it there and known?"""
    return value is not None and value is not UNKNOWN


def without_unknown(values: Mapping[str, Any]) -> Values:
    """The known part of an object, as it is sent to the platform."""
    return {name: value for name, value in values.items() if known(value)}


def name_taken(error: ApiError, thing: str, name: str) -> str:
    """The provider's own sentence for a name conflict, else the error as it is."""
    text = str(error)
    if any(phrase in text for phrase in ("already in use", "already exist", "is already used")):
        return f"{thing} name must be unique, and name '{name}' is already in use"
    return text
