"""What the stand-in provider plans: pure deciding, no files, no network.

The real plugin is a Terraform provider behind Pulumi's bridge, so its decisions follow Terraform's rules:

1. the *proposed* state is the program's inputs, completed by the prior state where the platform may answer a
   value;
2. only if that differs from the prior state, every answered ("computed") value that the program does not give
   becomes unknown;
3. values that never change ("keep") take their prior value again, and an attribute marked "replace" that
   differs asks for a replacement;
4. last comes what a resource knows better itself (`finish`): hashes of files, and what follows from them.

One quirk of 0.10.43 matters to every user (platform-contract 2.2): in step 3 an empty prior value is not
taken, it stays unknown and so *differs*. ApplicationSource.requiredKeyScopeLevel is such an attribute, which
is why any changed input replaces a source without key scope. `Behaviour.IN_PLACE` leaves this quirk out, as
later versions may.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final


class Unknown(enum.Enum):
    """The one value that is not known before the platform has answered."""

    UNKNOWN = "unknown"

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = Unknown.UNKNOWN

Values = dict[str, Any]
"""Property values by their Pulumi name. A missing key is Terraform's null; `UNKNOWN` may stand anywhere."""


class Behaviour(enum.Enum):
    """How a change of a source without key scope is carried out."""

    RECORDED = "recorded"
    IN_PLACE = "in-place"


class Nesting(enum.Enum):
    """Whether the attributes below an attribute belong to one object or to each object of a list."""

    OBJECT = "object"
    LIST = "list"


@dataclass(frozen=True)
class Attribute:
    """One attribute of a resource: who gives its value, and what a change of it means."""

    name: str
    required: bool = False
    optional: bool = False
    computed: bool = False
    keep: bool = False
    replace: bool = False
    secret: bool = False
    default: Any = None
    allowed: tuple[str, ...] = ()
    nested: tuple[Attribute, ...] = ()
    nesting: Nesting = Nesting.OBJECT

    @property
    def is_input(self) -> bool:
        """Can the program give it?"""
        return self.required or self.optional


@dataclass(frozen=True)
class Planned:
    """The planned state, and what the engine wants to know about it."""

    values: Values
    replaces: tuple[str, ...]
    diffs: tuple[str, ...]


Finish = Callable[[Values, "Mapping[str, Any] | None", Mapping[str, Any]], Values]


def _nothing_to_finish(values: Values, _prior: Mapping[str, Any] | None, _facts: Mapping[str, Any]) -> Values:
    return values


@dataclass(frozen=True)
class ResourceType:
    """The schema of one resource type, as far as planning and checking need it."""

    token: str
    attributes: tuple[Attribute, ...]
    one_of: tuple[str, ...] = ()
    finish: Finish = field(default=_nothing_to_finish, compare=False)

    @property
    def secrets(self) -> frozenset[str]:
        """Names of the properties that the engine must keep encrypted."""
        return frozenset(attribute.name for attribute in self.attributes if attribute.secret)


def plan(
    resource: ResourceType,
    config: Mapping[str, Any],
    prior: Mapping[str, Any] | None,
    facts: Mapping[str, Any],
    behaviour: Behaviour,
) -> Planned:
    """Plan the state after `config` is applied to `prior` (None: the resource is created).

    `facts` are what was found on disk (hashes); `ResourceType.finish` puts them into the plan.
    """
    proposed = _proposed(resource.attributes, config, prior)
    replaces: list[str] = []
    if prior is None or proposed != _known(resource.attributes, prior):
        proposed = _mark_unknown(resource.attributes, config, proposed)
    for attribute in resource.attributes:
        before = prior.get(attribute.name) if prior is not None else None
        if attribute.keep and proposed.get(attribute.name) is UNKNOWN and before is not None:
            proposed[attribute.name] = before
        if prior is not None and attribute.replace and proposed.get(attribute.name) != before:
            grown_unknown = proposed.get(attribute.name) is UNKNOWN and before is None
            if attribute.computed and grown_unknown and behaviour is Behaviour.IN_PLACE:
                continue
            replaces.append(attribute.name)
    values = resource.finish(proposed, prior, facts)
    if prior is None:
        return Planned(values, (), ())
    names = {attribute.name for attribute in resource.attributes}
    diffs = sorted(name for name in names if values.get(name) != prior.get(name))
    return Planned(values, tuple(sorted(replaces)), tuple(diffs))


def problems(resource: ResourceType, name: str, inputs: Mapping[str, Any]) -> list[str]:
    """What the provider refuses about `inputs` of the resource called `name`, in its own words."""
    found: list[str] = []
    if resource.one_of and not any(inputs.get(option) is not None for option in resource.one_of):
        options = ",".join(snake_case(option) for option in resource.one_of)
        found.append(
            f"Missing Attribute Configuration. At least one of these attributes must be configured: [{options}]"
        )
    for attribute in resource.attributes:
        value = inputs.get(attribute.name)
        if attribute.required and value is None:
            found.append(
                f'Missing required argument. The argument "{snake_case(attribute.name)}" is required, '
                f"but no definition was found.. Examine values at '{name}.{attribute.name}'."
            )
            continue
        found.extend(_refused(attribute, value, snake_case(attribute.name), f"{name}.{attribute.name}"))
    return found


def inputs_from_state(resource: ResourceType, state: Mapping[str, Any], old_inputs: Mapping[str, Any] | None) -> Values:
    """The inputs that Read answers: the old ones brought up to date, or what a program would have to write."""
    if old_inputs:
        return {name: _like(old, state[name]) for name, old in old_inputs.items() if state.get(name) is not None}
    return {
        attribute.name: state[attribute.name]
        for attribute in resource.attributes
        if attribute.is_input and state.get(attribute.name) not in (None, False, "", [], {})
    }


def snake_case(name: str) -> str:
    """The Terraform name of a Pulumi property: resourceLabel is resource_label."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def _like(old: Any, new: Any) -> Any:
    """Bring `old` up to date without adding keys that the program did not write."""
    if isinstance(old, dict) and isinstance(new, dict):
        return {key: _like(value, new[key]) for key, value in old.items() if new.get(key) is not None}
    return new


def _known(attributes: Sequence[Attribute], prior: Mapping[str, Any]) -> Values:
    return {attribute.name: prior[attribute.name] for attribute in attributes if prior.get(attribute.name) is not None}


def _proposed(attributes: Sequence[Attribute], config: Mapping[str, Any], prior: Mapping[str, Any] | None) -> Values:
    """Terraform's "proposed new state" with the provider's defaults in it."""
    proposed: Values = {}
    for attribute in attributes:
        given = config.get(attribute.name)
        before = prior.get(attribute.name) if prior is not None else None
        if given is None:
            value = attribute.default
            if value is None and attribute.computed and not _was_written(attribute, before):
                value = before
        elif attribute.nested and attribute.nesting is Nesting.OBJECT and isinstance(given, dict):
            value = _proposed(attribute.nested, given, before if isinstance(before, dict) else None)
        else:
            value = given
        if value is not None:
            proposed[attribute.name] = value
    return proposed


def _was_written(attribute: Attribute, before: Any) -> bool:
    """Can `before` only have come from the program? Then a missing value in the program means: take it away."""
    if not (attribute.optional and attribute.nested):
        return False
    rows = before if isinstance(before, list) else [before]
    return any(
        row.get(inner.name) is not None
        for row in rows
        if isinstance(row, dict)
        for inner in attribute.nested
        if not inner.computed
    )


def _mark_unknown(attributes: Sequence[Attribute], config: Mapping[str, Any], proposed: Values) -> Values:
    marked = dict(proposed)
    for attribute in attributes:
        given = config.get(attribute.name)
        if given is None and attribute.computed and attribute.default is None:
            marked[attribute.name] = UNKNOWN
        elif attribute.nested and attribute.nesting is Nesting.OBJECT and isinstance(given, dict):
            marked[attribute.name] = _mark_unknown(attribute.nested, given, marked[attribute.name])
    return marked


def _refused(attribute: Attribute, value: Any, path: str, place: str) -> list[str]:
    found: list[str] = []
    if attribute.nested:
        if isinstance(value, dict):
            rows = [(value, path, place)]
        elif isinstance(value, list):
            rows = [(row, f"{path}[{index}]", f"{place}[{index}]") for index, row in enumerate(value)]
        else:
            rows = []
        for row, row_path, row_place in rows:
            for inner in attribute.nested if isinstance(row, dict) else ():
                inner_path, inner_place = f"{row_path}.{snake_case(inner.name)}", f"{row_place}.{inner.name}"
                found.extend(_refused(inner, row.get(inner.name), inner_path, inner_place))
    elif attribute.allowed:
        singles = (
            [(item, f"{path}[{index}]", f"{place}[{index}]") for index, item in enumerate(value)]
            if isinstance(value, list)
            else [(value, path, place)]
        )
        options = " ".join(f'"{option}"' for option in attribute.allowed)
        found.extend(
            f"Invalid Attribute Value Match. Attribute {single_path} value must be one of: [{options}], "
            f"got: \"{single}\". Examine values at '{single_place}'."
            for single, single_path, single_place in singles
            if isinstance(single, str) and single not in attribute.allowed
        )
    return found
