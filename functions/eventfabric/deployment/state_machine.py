"""The state machine that drives a backfill on AWS, in Amazon States Language.

    Begin ──> Plan ──> Copy: a Map over the slices ──> more to plan? ──> Finish ──> complete?
                ^          each: copy until done          │ yes
                └─────────────────────────────────────────┘

Start it with a request, `{"stream": "orders", "source": "us-east-1", "workers": 16}` (also `lanes`, `rate` and
`slice_events`), or with `{"backfill": ID}` to resume one. The Map is a distributed one, so that each slice has an
execution history of its own: a single history may have only 25,000 entries.
"""

from typing import Any, Final

_RETRIES: Final = 8
_HOPELESS: Final = ["BackfillError", "UnknownNameError", "WrongRegionError"]
"""Errors for which a retry is useless."""

State = dict[str, Any]


def backfill_state_machine(function_arn: str, *, partition: str = "aws") -> State:
    """Make the state machine's definition, for the backfill function of the target Region."""

    def task(payload: State, selected: State, **others: Any) -> State:
        return {
            "Type": "Task",
            "Resource": f"arn:{partition}:states:::lambda:invoke",
            "Parameters": {"FunctionName": function_arn, "Payload": payload},
            "ResultSelector": {f"{name}.$": f"$.Payload.{path}" for name, path in selected.items()},
            "Retry": _retry(),
            **others,
        }

    running = {"backfill": "backfill", "workers": "workers", "more": "more"}
    return {
        "Comment": "Copies the records that a Region's log lacks from another Region.",
        "StartAt": "Begin",
        "States": {
            "Begin": task(
                {"action": "begin", "name.$": "$$.Execution.Name", "asked.$": "$"}, running, Next="Plan"
            ),
            "Plan": task(
                {"action": "plan", "backfill.$": "$.backfill", "more.$": "$.more"},
                {**running, "slices": "slices"},
                Next="Copy",
            ),
            "Copy": {
                "Type": "Map",
                "ItemsPath": "$.slices",
                "MaxConcurrencyPath": "$.workers",
                "ItemSelector": {
                    "backfill.$": "$.backfill",
                    "lane.$": "$$.Map.Item.Value.lane",
                    "start.$": "$$.Map.Item.Value.start",
                },
                "ItemProcessor": {
                    "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
                    "StartAt": "Copy slice",
                    "States": _copying(task),
                },
                "ResultPath": None,
                "Next": "Is all planned?",
            },
            "Is all planned?": {
                "Type": "Choice",
                "Choices": [{"Variable": "$.more", "IsNull": True, "Next": "Finish"}],
                "Default": "Plan",
            },
            "Finish": task(
                {"action": "finish", "backfill.$": "$.backfill"},
                {name: name for name in ("backfill", "state", "slices", "slices_done", "copied_events")},
                Next="Is it complete?",
            ),
            "Is it complete?": {
                "Type": "Choice",
                "Choices": [{"Variable": "$.state", "StringEquals": "incomplete", "Next": "Incomplete"}],
                "Default": "Ended",
            },
            "Incomplete": {
                "Type": "Fail",
                "Error": "Incomplete",
                "Cause": "Some slices could not be copied. `eventfabric backfill show ID` says which, and why.",
            },
            "Ended": {"Type": "Succeed"},
        },
    }


def _copying(task: Any) -> State:
    """States that copy one slice, in as many invocations as it takes. A slice that fails is reported at the end."""
    return {
        "Copy slice": task(
            {"action": "copy", "backfill.$": "$.backfill", "lane.$": "$.lane", "start.$": "$.start"},
            {"done": "done"},
            ResultPath="$.copied",
            Catch=[{"ErrorEquals": ["States.ALL"], "Next": "Leave slice"}],
            Next="Is it done?",
        ),
        "Is it done?": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.copied.done", "BooleanEquals": True, "Next": "Leave slice"}],
            "Default": "Copy slice",
        },
        # The output of a Map is limited in size, and nothing reads it.
        "Leave slice": {"Type": "Pass", "Result": {}, "End": True},
    }


def _retry() -> list[State]:
    return [
        {"ErrorEquals": _HOPELESS, "MaxAttempts": 0},
        {
            "ErrorEquals": ["States.ALL"],
            "IntervalSeconds": 1,
            "BackoffRate": 2,
            "MaxDelaySeconds": 60,
            "MaxAttempts": _RETRIES,
            "JitterStrategy": "FULL",
        },
    ]
