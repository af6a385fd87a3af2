"""An interpreter for the part of Amazon States Language that the fabric's state machines use, for tests."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

from eventfabric.errors import EventFabricError

Machine = dict[str, Any]
Invoke = Callable[[dict[str, Any]], Any]

_FIELDS = {
    "Task": {"Resource", "Parameters", "ResultSelector", "ResultPath", "Retry", "Catch"},
    "Map": {"ItemsPath", "MaxConcurrencyPath", "ItemSelector", "ItemProcessor", "ResultPath"},
    "Choice": {"Choices", "Default"},
    "Pass": {"Result"},
    "Fail": {"Error", "Cause"},
    "Succeed": set[str](),
}


class FailedError(Exception):
    """The execution failed, by a Fail state or by an error that nothing caught."""


class Execution:
    """One execution. `invoke` is the function of every task; `map_sizes` and `entered` tell what happened."""

    def __init__(self, machine: Machine, invoke: Invoke, *, name: str) -> None:
        check(machine)
        self.map_sizes: list[tuple[int, int]] = []
        self.entered: list[str] = []
        self._machine = machine
        self._invoke = invoke
        self._context: dict[str, Any] = {"Execution": {"Name": name}}

    def run(self, given: Any) -> Any:
        """The output; FailedError."""
        return self._run(self._machine, given, self._context)

    def _run(self, machine: Machine, given: Any, context: dict[str, Any]) -> Any:
        name = machine["StartAt"]
        while True:
            state = machine["States"][name]
            self.entered.append(name)
            match state["Type"]:
                case "Task":
                    given, name = self._task(state, given, context)
                case "Map":
                    given, name = self._map(state, given, context)
                case "Choice":
                    name = _choose(state, given)
                    continue
                case "Pass":
                    given, name = deepcopy(state["Result"]), state.get("Next")
                case "Succeed":
                    return given
                case _:
                    raise FailedError(state["Error"])
            if name is None:
                return given

    def _task(self, state: dict[str, Any], given: Any, context: dict[str, Any]) -> tuple[Any, str | None]:
        payload = _filled(state["Parameters"], given, context)["Payload"]
        tries: dict[int, int] = {}
        while True:
            try:
                result = self._invoke(payload)
                break
            except EventFabricError as error:
                if not _may_retry(state, type(error).__name__, tries):
                    for catch in state.get("Catch", []):
                        if _matches(catch, type(error).__name__):
                            return {**given, "error": str(error)}, catch["Next"]
                    raise FailedError(str(error)) from error
        selected = _filled(state["ResultSelector"], {"Payload": result}, context)
        return _placed(state, given, selected), state.get("Next")

    def _map(self, state: dict[str, Any], given: Any, context: dict[str, Any]) -> tuple[Any, str | None]:
        items = _value_at(state["ItemsPath"], given)
        self.map_sizes.append((len(items), _value_at(state["MaxConcurrencyPath"], given)))
        results = [
            self._run(
                state["ItemProcessor"],
                _filled(state["ItemSelector"], given, {**context, "Map": {"Item": {"Value": item}}}),
                context,
            )
            for item in items
        ]
        return _placed(state, given, results), state.get("Next")


def check(machine: Machine) -> None:
    """Every state has its fields and no others, every name exists, and every state is reached."""
    states = machine["States"]
    reached = {machine["StartAt"]}
    for name, state in states.items():
        allowed = _FIELDS[state["Type"]] | {"Type"}
        ends = {"Next", "End"} & set(state)
        if state["Type"] in ("Task", "Map", "Pass"):
            assert len(ends) == 1, name
            assert _FIELDS[state["Type"]] - set(state) <= {"ResultPath", "Catch", "Retry"}, name
        assert set(state) <= allowed | ends, name
        reached |= set(_nexts(state))
        if state["Type"] == "Map":
            check(state["ItemProcessor"])
    assert reached == set(states)


def _nexts(state: dict[str, Any]) -> Iterator[str]:
    for step in (state, *state.get("Choices", []), *state.get("Catch", [])):
        if "Next" in step:
            yield step["Next"]
    if "Default" in state:
        yield state["Default"]


def _may_retry(state: dict[str, Any], error: str, tries: dict[int, int]) -> bool:
    for number, retrier in enumerate(state.get("Retry", [])):
        if _matches(retrier, error):
            tries[number] = tries.get(number, 0) + 1
            return tries[number] <= int(retrier["MaxAttempts"])
    return False


def _matches(rule: dict[str, Any], error: str) -> bool:
    return bool({"States.ALL", error} & set(rule["ErrorEquals"]))


def _choose(state: dict[str, Any], given: Any) -> str:
    for choice in state["Choices"]:
        value = _value_at(choice["Variable"], given)
        if "IsNull" in choice:
            holds = (value is None) == choice["IsNull"]
        elif "BooleanEquals" in choice:
            holds = value is choice["BooleanEquals"]
        else:
            holds = value == choice["StringEquals"]
        if holds:
            return str(choice["Next"])
    return str(state["Default"])


def _filled(template: Any, given: Any, context: Any) -> Any:
    if not isinstance(template, dict):
        return template
    filled: dict[str, Any] = {}
    for name, value in template.items():
        if name.endswith(".$"):
            filled[name.removesuffix(".$")] = deepcopy(
                _value_at(value[1:], context) if value.startswith("$$") else _value_at(value, given)
            )
        else:
            filled[name] = _filled(value, given, context)
    return filled


def _value_at(path: str, given: Any) -> Any:
    """A missing field is an error, as it is there."""
    for part in path.split(".")[1:]:
        given = given[part]
    return given


def _placed(state: dict[str, Any], given: Any, result: Any) -> Any:
    path = state.get("ResultPath", "$")
    if path is None:
        return given
    return result if path == "$" else {**given, path.removeprefix("$."): result}
