"""The chain of a project that `eventfabric new` made, from the wheel: orders become invoices, and those become points.

It runs beside the scenario, in a thread of its own. The order with number n is worth 10 ** n points, so the digits of a
customer's points count how often each invoice was published and handled.
"""

import json
import shutil
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from eventfabric.definition.file import read_definition
from eventfabric.topology import Topology
from scripts.acceptance.fabric import wait_until
from scripts.acceptance.installation import Commands, Installation
from scripts.acceptance.leftovers import delete_retained, leftovers, unprotect_stacks
from scripts.acceptance.people import person, policies
from scripts.acceptance.report import Report
from scripts.acceptance.target import Person, Target
from scripts.install import ROOT
from tests.versions.recorded import recorded
from tests.versions.turns import unpack

CUSTOMERS = [f"customer-{number}" for number in range(6)]
DEATHS = Path(__file__).with_name("deaths.py")
DEATHS_SEEN = 8
"""Two functions die twice at each of two moments: see deaths.py."""
PUBLISHER = Path(__file__).with_name("publish.py")
OWN_TABLES = ("invoiced", "points")
VISIBILITY_SECONDS = 5
"""Time after which the doorbell of a function that was killed comes again, in place of 12 minutes."""


class Chain:
    """One run on one target. A check that fails is noted; `finish` raises AcceptanceError if there is no going on."""

    def __init__(
        self, target: Target, folder: Path, name: str, region: str, report: Report, *, patience_seconds: float
    ) -> None:
        self._target, self._name, self._region, self._report = target, name, region, report
        self._home, self._folder = folder, folder / "chain"
        self._patience_seconds = patience_seconds
        self._commands = Commands()
        self._thread = ThreadPoolExecutor(1)
        self._running: list[Future[None]] = []
        self._placed = 0

    def __enter__(self) -> Self:
        """Begin with what needs no account."""
        self._running.append(self._thread.submit(self._install))
        return self

    def deploy(self) -> None:
        """Go on: the account is bootstrapped."""
        self._running.append(self._thread.submit(self._run))

    def finish(self) -> None:
        """Wait until all is done."""
        for future in self._running:
            future.result()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._commands.stop()
        wait(self._running)

    def _install(self) -> None:
        with self._report.step("chain: install the wheel"):
            self._this = self._installation("this", ROOT)
            if self._target.is_emulator:
                (self._home / "deaths").mkdir()
                handlers = self._this.project / "functions" / "subscribers"
                shutil.copy(DEATHS, handlers)
                with (handlers / "__init__.py").open("a") as package:
                    package.write("from subscribers import deaths as deaths\n")
        with self._report.step("chain: install the version before"):
            source = self._folder / "source"
            self._before: Installation | None = None
            if reason := unpack(recorded()["commit"], source):
                self._report.not_checked.append(f"two versions: {reason}")
            else:
                self._before = self._installation("before", source)

    def _installation(self, version: str, source: Path) -> Installation:
        folder = self._folder / version
        installation = Installation(source, folder, target=self._target, commands=self._commands)
        installation.make(self._name, self._region)
        return installation

    def _run(self) -> None:
        with self._report.step("chain: deploy"):
            self._this.deploy()
            self._topology = Topology(read_definition(self._this.project / "infra" / "fabric.toml"))
        with ExitStack() as people:
            names = [f"{self._name}-{stream}" for stream in self._topology.streams]
            rights = policies(self._target, self._region, *(f"{name}-operator" for name in names))
            who = f"{self._name}-producer", [f"{self._name}-orders-publisher"]
            publisher = people.enter_context(person(self._target, self._region, *who))
            operator = people.enter_context(
                person(self._target, self._region, f"{self._name}-person", rights)
            )
            self._kill(publisher)
            if self._before is not None:
                self._mix(publisher, self._before)
            self._prove(operator)
        self._destroy()

    def _kill(self, publisher: Person) -> None:
        """Let functions die before and after their commits, if they run on this machine."""
        if self._target.is_emulator:
            self._let_doorbells_come_again_soon()
        else:
            self._report.not_checked.append("killed functions: only the emulator runs them on this machine")
        with self._report.step("chain: deliver, killed"):
            self._place(publisher, self._this, 4)
            self._invoiced("a new project invoices each order once, whenever its functions are killed")
            if self._target.is_emulator:
                deaths = len(list((self._home / "deaths").iterdir()))
                self._report.check(
                    "functions were killed before and after they committed",
                    "" if deaths == DEATHS_SEEN else f"found {deaths} deaths",
                )

    def _let_doorbells_come_again_soon(self) -> None:
        """Shorten the wait after a death. Of several doorbells, a function would itself lengthen it to its time-out."""
        sqs, functions = (self._target.client(service, self._region) for service in ("sqs", "lambda"))
        for subscription in self._topology.subscriptions.values():
            url = sqs.get_queue_url(QueueName=subscription.queue.name)["QueueUrl"]
            sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": str(VISIBILITY_SECONDS)})
            mappings = functions.list_event_source_mappings(FunctionName=subscription.function_name)
            for mapping in mappings["EventSourceMappings"]:
                functions.update_event_source_mapping(UUID=mapping["UUID"], BatchSize=1)

    def _mix(self, publisher: Person, before: Installation) -> None:
        """Let each function run the version before in turn, while producers of both versions publish."""
        with self._report.step("chain: stage the version before"):
            code = {True: before.code(), False: self._this.deployed_code()}
        were_behind = set[str]()
        for behind in ({"billing"}, {"loyalty", "relay"}):
            names = " and ".join(sorted(behind))
            with self._report.step(f"chain: {names} of the version before"):
                for function in behind ^ were_behind:
                    self._run_code(f"{self._name}-{function}", code[function in behind])
                self._place(publisher, before, 1)
                self._place(publisher, self._this, 1)
                self._invoiced(f"producers of two versions, and {names} behind: each order is invoiced once")
            were_behind = behind

    def _run_code(self, function: str, code: bytes) -> None:
        client = self._target.client("lambda", self._region)
        client.update_function_code(FunctionName=function, ZipFile=code)
        client.get_waiter("function_updated_v2").wait(FunctionName=function)

    def _place(self, publisher: Person, producer: Installation, count: int) -> None:
        """Place `count` orders of each customer, with the producer's version."""
        options = ["OrderPlaced", str(self._placed), str(count), ",".join(CUSTOMERS)]
        # -P: what is beside the script is not to be imported.
        command = ["python", "-P", str(PUBLISHER), "infra/fabric.toml", self._region, *options]
        producer.run(command, publisher)
        self._placed += count

    def _invoiced(self, name: str) -> None:
        wait_until(lambda: not miscounted(self._points(), self._placed), self._patience_seconds)
        self._report.check(name, miscounted(self._points(), self._placed))

    def _points(self) -> dict[str, int]:
        self._commands.go_on()
        client = self._target.client("dynamodb", self._region)
        rows = client.scan(TableName=f"{self._name}-points", ConsistentRead=True)["Items"]
        return {row["id"]["S"]: int(row["points"]["N"]) for row in rows}

    def _prove(self, operator: Person) -> None:
        with self._report.step("chain: prove"):
            where = ["--definition", "infra/fabric.toml", "--region", self._region]
            proof = json.loads(self._this.run(["eventfabric", "prove", *where, "--json"], operator))
            handled = {
                subscription: sum(
                    lane["events"] for lane in proof["lanes"] if lane["subscription"] == subscription
                )
                for subscription in self._topology.subscriptions
            }
            missing = [lane for lane in proof["lanes"] if lane["exceptions"] or lane["waiting"]]
            wanted = dict.fromkeys(handled, len(CUSTOMERS) * self._placed)
            problem = "" if handled == wanted and not missing else f"{handled}, {json.dumps(missing)[:500]}"
            self._report.check("the cursors of the chain prove that nothing is missing", problem)

    def _destroy(self) -> None:
        with self._report.step("chain: destroy"):
            unprotect_stacks(self._target, self._topology)
            self._this.destroy()
            delete_retained(self._target, self._topology, (self._region,))
            for table in OWN_TABLES:
                self._target.client("dynamodb", self._region).delete_table(TableName=f"{self._name}-{table}")
            left = leftovers(self._target, (self._region,), self._name)
            self._report.check("nothing is left of the chain", ", ".join(sorted(left)))


def miscounted(points: dict[str, int], orders: int) -> str:
    """Describe whose invoices were not handled once; an empty text if all were."""
    return "; ".join(
        f"{customer}: order {number} was invoiced {count} times"
        for customer in CUSTOMERS
        for number, count in enumerate(_digits(points.get(customer, 0), orders))
        if count != 1
    )


def _digits(points: int, count: int) -> list[int]:
    return [points // 10**number % 10 for number in range(count)]
