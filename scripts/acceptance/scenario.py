"""The scenario of the acceptance test: deploy, publish, check, break, redeploy, destroy; and what must hold after each.

A check that fails is noted, and the run continues. A step that cannot be done at all ends the run.
"""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from eventfabric.topology import Topology
from scripts.acceptance.cdk import Cdk
from scripts.acceptance.chain import Chain
from scripts.acceptance.declarations import Declarations
from scripts.acceptance.differences import add_replicas
from scripts.acceptance.emulator import Emulator
from scripts.acceptance.fabric import DeployedFabric, wait_until
from scripts.acceptance.leftovers import delete_retained, leftovers, retained, unprotect_stacks
from scripts.acceptance.people import assume, person, policies
from scripts.acceptance.report import Report
from scripts.acceptance.schemas import Schemas
from scripts.acceptance.target import Person, Target

EVENTS_PER_KEY = 8
KEYS = 4
SUBSCRIPTIONS = ("exact", "everywhere", "troubled")
DENIED = ("AccessDenied", "AccessDeniedException")
PATIENCE_OF_CHAIN = 5
"""A function that was killed starts anew, and all that is killed here starts one after the other."""
BY_KEY = ("read a subscription's state", "write another Region's lanes", "another subscription's state")
"""Calls that are refused only by a condition on partition keys."""


class Scenario:
    """One run on one target. `tell` is called with what happens, line by line."""

    def __init__(
        self,
        target: Target,
        fabric: DeployedFabric,
        folder: Path,
        tell: Callable[[str], None],
        *,
        emulator: Emulator | None = None,
        patience_seconds: float,
    ) -> None:
        self._target, self._fabric, self._emulator = target, fabric, emulator
        self._cdk = Cdk(target, fabric.definition, folder, tell)
        self._patience_seconds = patience_seconds
        self.report = Report(tell)
        self._declarations = Declarations(target, fabric, self._cdk, self.report)
        self._schemas = Schemas(target, fabric, self._cdk, self.report)
        self._chain = Chain(
            target,
            folder,
            f"chain-{fabric.name.rpartition('-')[2]}",
            fabric.home,
            self.report,
            patience_seconds=PATIENCE_OF_CHAIN * patience_seconds,
        )

    @property
    def _topology(self) -> Topology:
        return self._fabric.topology

    def run(self) -> None:
        """Run the whole scenario, and beside it the chain."""
        with self._chain, ExitStack() as people:
            self._deploy()
            with self.report.step("people"):
                name, home = self._fabric.name, self._fabric.home
                orders, second_stream = f"{name}-orders", f"{name}-other"
                publisher = people.enter_context(
                    person(self._target, home, f"{name}-producer", [f"{orders}-publisher"])
                )
                operator = people.enter_context(
                    person(
                        self._target,
                        home,
                        f"{name}-person",
                        policies(self._target, home, f"{orders}-operator", f"{second_stream}-operator"),
                    )
                )
            self._publish(publisher)
            self._deliveries()
            self._privileges(publisher)
            self._operate(operator)
            self._upkeep(operator)
            with self.report.step("wait for the chain"):
                self._chain.finish()
            if self._emulator is not None:
                self._restart(self._emulator, publisher)
            self._redeploy(publisher)
            self._fail()
        self._destroy()

    def _deploy(self) -> None:
        name = self._fabric.name
        with self.report.step("bootstrap"):
            self._cdk.bootstrap(list(self._fabric.regions))
        self._chain.deploy()
        with self.report.step("deploy keys and logs"):
            self._cdk.deploy(f"{name}-keys-*", f"{name}-log-*")
            self.report.made_up_for += add_replicas(self._target, self._topology, self._fabric.home)
        with self.report.step("deploy all"):
            self._cdk.deploy(synthesised=True)
            self._declarations.check_first()
            self._schemas.check_first()

    def _publish(self, publisher: Person) -> None:
        with self.report.step("publish"), ThreadPoolExecutor() as processes:
            running = [
                processes.submit(self._fabric.publish, publisher, region, self._keys(region), EVENTS_PER_KEY)
                for region in self._fabric.regions
            ]
            for publication in running:
                publication.result()
        with self.report.step("publish trouble"):
            home = self._fabric.home
            for type, key in (("Poison", "poison"), ("Flaky", "flaky"), ("Probe", "probe")):
                self._fabric.publish(publisher, home, [key], 1, type=type)
            self._schemas.refuse_event(publisher)

    def _keys(self, region: str) -> list[str]:
        return [f"{region}-{number}" for number in range(KEYS)]

    def _deliveries(self) -> None:
        with self.report.step("deliveries"):
            self._delivered("everything was delivered once and in order, in both Regions", SUBSCRIPTIONS)
            home = self._fabric.home
            arrived = wait_until(lambda: "troubled/flaky" in self._fabric.noted(home), self._patience_seconds)
            handled = self._fabric.noted(home).get("troubled/flaky")
            self.report.check(
                "what failed twice was tried again, and handled once",
                "" if arrived and handled == ["0"] else f"found {handled}",
            )

    def _delivered(self, name: str, subscriptions: tuple[str, ...]) -> None:
        wait_until(lambda: not self._fabric.wrong(subscriptions), self._patience_seconds)
        self.report.check(name, "; ".join(self._fabric.wrong(subscriptions)[:5]))

    def _privileges(self, publisher: Person) -> None:
        with self.report.step("privileges"):
            home, name = self._fabric.home, self._fabric.name
            dynamodb = self._target.client("dynamodb", home, publisher.credentials)
            query = {
                "KeyConditionExpression": "pk = :pk",
                "ExpressionAttributeValues": {":pk": {"S": "orders/troubled"}},
            }
            here, away = ({"pk": {"S": f"{region}/0.0"}, "sk": {"N": "0"}} for region in self._fabric.regions)
            # Even if the write were allowed, this condition would keep it from changing anything.
            never = {"ConditionExpression": "attribute_exists(pk) AND attribute_not_exists(pk)"}
            for what, call in {
                "read a subscription's state": lambda: dynamodb.query(TableName=f"{name}-ledger", **query),
                "write the ledger": lambda: dynamodb.put_item(TableName=f"{name}-ledger", Item=here, **never),
                "append to another stream": lambda: dynamodb.put_item(
                    TableName=f"{name}-other", Item=here, **never
                ),
                "delete what is published": lambda: dynamodb.delete_item(
                    TableName=f"{name}-orders", Key=here, **never
                ),
                "write another Region's lanes": lambda: dynamodb.put_item(
                    TableName=f"{name}-orders", Item=away, **never
                ),
            }.items():
                self._refused(f"the publisher cannot {what}", _answer(call))
            wait_until(lambda: "nosy/list tables" in self._fabric.noted(home), self._patience_seconds)
            noted = self._fabric.noted(home)
            for what in (
                "another stream's log",
                "write the log",
                "list tables",
                "another subscription's state",
            ):
                for answer in noted.get(f"nosy/{what}", ["nothing"]):
                    self._refused(f"a deployed function is refused: {what}", answer)

    def _refused(self, name: str, answer: str) -> None:
        if self._target.is_emulator and name.endswith(BY_KEY):
            self.report.not_checked.append(f"{name}: the emulator knows no condition on partition keys")
        else:
            self.report.check(name, "" if answer in DENIED else f"it was told {answer}")

    def _operate(self, operator: Person) -> None:
        with self.report.step("operate"):
            home, fabric = self._fabric.home, self._fabric
            letters = fabric.command(operator, home, "dead-letters", "list", "troubled")
            problem = "" if len(letters) == 1 else f"found {json.dumps(letters)[:300]}"
            self.report.check("the poisonous event alone is a dead letter", problem)
            for region in fabric.regions:
                proof = fabric.command(operator, region, "prove", codes=(0, 1))
                self.report.check(f"the cursors of {region} prove what was handled", _unproven(proof))

    def _upkeep(self, operator: Person) -> None:
        with self.report.step("upkeep"):
            topology = self._topology
            for region in self._fabric.regions:
                answer = self._fabric.invoke(region, topology.reconcile_function(region).name, {})
                # The poisonous event is a dead letter in the Region where it was published.
                wanted = {"dead": 1} if region == self._fabric.home else {}
                findings = answer["findings"]
                self.report.check(
                    f"reconciliation of {region} finds nothing but what is dead",
                    "" if findings == {"orders": wanted, "other": {}} else json.dumps(findings),
                )
            self.report.check("a backfill ends well", self._backfill())

    def _backfill(self) -> str:
        """Run the state machine of the target Region. Returns why it did not end well, or an empty text."""
        away = self._fabric.away
        client = self._target.client("stepfunctions", away)
        wanted = self._topology.backfill_machine_name
        machines = client.get_paginator("list_state_machines").paginate()
        [arn] = [
            m["stateMachineArn"] for page in machines for m in page["stateMachines"] if m["name"] == wanted
        ]
        asked = json.dumps({"stream": "orders", "source": self._fabric.home})
        execution = client.start_execution(stateMachineArn=arn, input=asked)["executionArn"]

        def state() -> Any:
            return client.describe_execution(executionArn=execution)

        wait_until(lambda: state()["status"] != "RUNNING", self._patience_seconds)
        execution_state = state()
        if execution_state["status"] != "SUCCEEDED":
            last_words = self._fabric.last_words(away, self._topology.backfill_function(away).name)
            cause = f"{execution_state.get('error')} {execution_state.get('cause')}"
            return f"{execution_state['status']}: {cause}\n{last_words}"
        report = json.loads(execution_state["output"])
        return "" if report["state"] == "done" else str(report)

    def _restart(self, emulator: Emulator, publisher: Person) -> None:
        """Stop the emulator with all its state, start it again, and go on."""
        with self.report.step("restart"):
            # Before, the queues must be empty: a message that a killed function held comes back only after 12 minutes.
            self.report.check("the queues run empty", "" if self._is_quiet() else "messages are left")
            emulator.restart()
            # The emulator forgets who assumed which role.
            publisher.credentials = assume(self._target, self._fabric.home, publisher.arn)
            for region in self._fabric.regions:
                self._fabric.publish(publisher, region, self._keys(region), 2)
            self._delivered(
                "after a restart with its state, everything is delivered once and in order", SUBSCRIPTIONS
            )

    def _is_quiet(self) -> bool:
        """Wait until no queue contains a message; False if that takes too long."""
        queues = [
            (self._target.client("sqs", region), name)
            for region in self._fabric.regions
            for name in {
                queue.name
                for subscription in self._topology.subscriptions_in(region)
                for queue in (subscription.queue, subscription.timers)
            }
        ]

        def held() -> int:
            names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
            answers = [
                client.get_queue_attributes(
                    QueueUrl=client.get_queue_url(QueueName=name)["QueueUrl"], AttributeNames=names
                )["Attributes"]
                for client, name in queues
            ]
            return sum(int(answer[name]) for answer in answers for name in names)

        return wait_until(lambda: held() == 0, self._patience_seconds)

    def _redeploy(self, publisher: Person) -> None:
        with self.report.step("deploy one more subscription"):
            self._fabric.add_subscription()
            self._declarations.fail_to_create()
            self._cdk.deploy()
            for region in self._fabric.regions:
                self._fabric.publish(publisher, region, self._keys(region), 2)
            self._delivered(
                "a subscription that is added gets everything from the earliest on, and others go on",
                (*SUBSCRIPTIONS, "added"),
            )

    def _fail(self) -> None:
        with self.report.step("deployments that fail, or are refused"):
            self._declarations.fail_to_update()
            self._declarations.refuse_second_owner()
            self._schemas.refuse_breaking()

    def _destroy(self) -> None:
        with self.report.step("destroy"):
            home = self._target.client("cloudformation", self._fabric.home)
            log = self._topology.stack_name("log", self._fabric.home)
            answer = _answer(lambda: home.delete_stack(StackName=log))
            self.report.check(
                "nobody deletes the stack of the tables by mistake",
                "" if answer == "ValidationError" else answer,
            )
            unprotect_stacks(self._target, self._topology)
            self._cdk.destroy()
            retained_resources, left = retained(self._fabric), self._left()
            self.report.check("what is destroyed leaves what is retained", _missing(retained_resources, left))
            self.report.check("what is destroyed leaves nothing else", _missing(left, retained_resources))
        with self.report.step("clean up"):
            delete_retained(self._target, self._topology, self._fabric.regions)
            self.report.check("nothing is left", _missing(self._left(), set()))

    def _left(self) -> set[str]:
        return leftovers(self._target, self._fabric.regions, self._fabric.name)


def _answer(call: Callable[[], Any]) -> str:
    """Make a call, and return the error code that AWS answers, or "allowed"."""
    try:
        call()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "allowed"


def _unproven(proof: Any) -> str:
    """Describe the lanes that are not proven; an empty text if all are."""
    if proof["proven"] and proof["lanes"]:
        return ""
    return json.dumps([lane for lane in proof["lanes"] if not lane["proven"]])[:600] or "no lane at all"


def _missing(wanted: set[str], existing: set[str]) -> str:
    return ", ".join(sorted(wanted - existing))
