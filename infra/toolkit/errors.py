"""Expected errors: what happened, what to do next, and the exit code of the command (docs/reference.md)."""

from __future__ import annotations

from typing import ClassVar


class ToolkitError(Exception):
    """An error that a person can act on.

    `message` says what happened (expected and found, and where); `hint` says what to do next;
    `exit_code` is the exit status of the command that ends with it.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "", details: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details


class ConfigurationError(ToolkitError):
    """A setting, option, stack or file of the app is wrong or missing."""

    exit_code = 2


class PermissionDenied(ToolkitError):
    """The platform refused the token, or the token lacks a permission."""

    exit_code = 3


class SmokeFailed(ToolkitError):
    """The app would not work on the platform."""

    exit_code = 4


class DeploymentFailed(ToolkitError):
    """Pulumi or the platform could not carry the deployment out."""

    exit_code = 5


class VerificationFailed(ToolkitError):
    """The deployment went through, but the public URL does not serve this release."""

    exit_code = 6


class StackLocked(ToolkitError):
    """Another run holds the stack."""

    exit_code = 7


class Cancelled(ToolkitError):
    """The person (Ctrl-C or an answer) or a signal ended the command."""

    exit_code = 8


class Stopped(KeyboardInterrupt):
    """Ctrl-C or a signal, with the error to end with. Whoever gets over expected errors does not get over this one."""

    def __init__(self, error: Cancelled) -> None:
        super().__init__(error.message)
        self.error = error


class TimedOut(ToolkitError):
    """Something did not come about within its time."""

    exit_code = 9


class ToolMissing(ToolkitError):
    """The container engine, Pulumi or a plugin is not there and could not be made."""

    exit_code = 10
