"""`scripts/e2e --many`: many subscriptions, one more, a deployment that fails in the middle, all destroyed and adopted.

Events are published after each deployment and, unless it is the first, in the middle of it. Each subscription has to
get each once and in order, and the people who had the policies attached before keep all that these allowed.
"""

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event
from typing import Any

from scripts.acceptance.cdk import Cdk, DeploymentFailedError
from scripts.acceptance.differences import add_replicas, add_tags
from scripts.acceptance.fabric import PROJECT, DeployedFabric, wait_until
from scripts.acceptance.leftovers import delete_retained, leftovers, retained, unprotect_stacks
from scripts.acceptance.people import person, policies
from scripts.acceptance.report import Report
from scripts.acceptance.target import Person, Target

SUBSCRIPTIONS = 40
CONCURRENCY = 8
"""Stacks that are deployed at the same time, as docs/deploy.md advises."""
PAUSE_SECONDS = 30
"""Time between two events that are published while a deployment is going on."""
PATIENT_FOR = 10
"""Number of subscriptions for which the patience for all deliveries is meant. More have more to do on the emulator."""
SUBSCRIPTION = """
[subscriptions.{name}]
stream = "orders"
types = ["Placed"]
handler = "subscribers.recorder:write"
"""
BREAK = "from subscribers import breaking as breaking\n"
MENDED = "# It was imported here for a time.\n"


class Many:
    """One run on one target. `tell` is called with what happens, line by line."""

    def __init__(
        self,
        target: Target,
        fabric: DeployedFabric,
        folder: Path,
        tell: Callable[[str], None],
        *,
        patience_seconds: float,
        subscriptions: int = SUBSCRIPTIONS,
    ) -> None:
        self._target, self._fabric = target, fabric
        self._handlers = fabric.folder / "functions" / "subscribers" / "__init__.py"
        self._breaking = self._handlers.with_name("breaking.py")
        self._breaking.unlink()
        self._breaks, self._subscriptions = f"s{subscriptions // 2:02}", subscriptions
        shutil.copy(fabric.folder / "infra" / "many.toml", fabric.definition)
        self._names: tuple[str, ...] = ()
        for number in range(subscriptions):
            self._add(f"s{number:02}")
        self._cdk = Cdk(target, fabric.definition, folder, tell)
        self._patience_seconds = patience_seconds * max(1, subscriptions / PATIENT_FOR)
        self.report = Report(tell)

    def run(self) -> None:
        """Run the whole scenario."""
        fabric, home = self._fabric, self._fabric.home
        self._deploy()
        with ExitStack() as people:
            attached = policies(self._target, home, f"{fabric.name}-orders-publisher")
            publisher = people.enter_context(person(self._target, home, f"{fabric.name}-producer", attached))
            attached = policies(self._target, home, f"{fabric.name}-orders-operator")
            operator = people.enter_context(person(self._target, home, f"{fabric.name}-person", attached))
            self._use(f"{self._subscriptions} subscriptions", publisher, operator)
            self._add(f"s{self._subscriptions:02}")
            with self.report.step("deploy one more"), self._publishing(publisher):
                self._deploy_all()
            self._use("one more subscription", publisher, operator)
            self._fail(publisher)
            self._use("after the failure", publisher, operator)
            self._mend(publisher)
            self._use("after the deployment that mends it", publisher, operator)
        self._destroy()
        self._adopt()
        self._clean_up()

    def _add(self, name: str) -> None:
        with self._fabric.definition.open("a") as definition:
            definition.write(SUBSCRIPTION.format(name=name))
        self._names = (*self._names, name)

    def _deploy(self) -> None:
        name = self._fabric.name
        with self.report.step("bootstrap"):
            self._cdk.bootstrap(list(self._fabric.regions))
        with self.report.step("deploy keys and logs"):
            self._cdk.deploy(f"{name}-keys-*", f"{name}-log-*")
            topology, home = self._fabric.topology, self._fabric.home
            self.report.made_up_for += add_replicas(self._target, topology, home)
            self.report.made_up_for += add_tags(self._target, topology, home)
        with self.report.step(f"deploy {self._subscriptions} subscriptions"):
            self._deploy_all(synthesised=True)

    def _deploy_all(self, *, synthesised: bool = False) -> None:
        """Deploy one Region after the other, as deploy.md says."""
        home, away = (f"{self._fabric.name}-*-{region}" for region in self._fabric.regions)
        self._cdk.deploy(home, synthesised=synthesised, concurrency=CONCURRENCY)
        self._cdk.deploy(away, synthesised=True, concurrency=CONCURRENCY)

    def _use(self, when: str, publisher: Person, operator: Person) -> None:
        """Publish in the home Region, and see that all is delivered and proven."""
        with self.report.step(f"use: {when}"):
            fabric, home = self._fabric, self._fabric.home
            fabric.publish(publisher, home, [f"{home}-0", f"{home}-1"], 2)
            wait_until(lambda: not fabric.wrong(self._names), self._patience_seconds)
            problem = "; ".join(fabric.wrong(self._names)[:5])
            self.report.check(f"{when}: each event is delivered once and in order to each", problem)
            proof = fabric.command(operator, home, "prove", codes=(0, 1))
            unproven = [lane["subscription"] for lane in proof["lanes"] if not lane["proven"]]
            self.report.check(f"{when}: an operator proves all of it", ", ".join(unproven[:5]))
            lanes = fabric.command(operator, home, "lanes")
            behind = [lane["subscription"] for lane in lanes["lanes"] if lane["lag"]]
            self.report.check(
                f"{when}: an operator sees each lane, and none is behind", ", ".join(behind[:5])
            )

    @contextmanager
    def _publishing(self, publisher: Person) -> Iterator[None]:
        """Publish an event every now and then."""
        fabric, home, over = self._fabric, self._fabric.home, Event()

        def publish() -> None:
            while not over.wait(PAUSE_SECONDS):
                fabric.publish(publisher, home, [f"{home}-0"], 1)

        with ThreadPoolExecutor(1) as thread:
            publishing = thread.submit(publish)
            try:
                yield
            finally:
                over.set()
            publishing.result()

    def _fail(self, publisher: Person) -> None:
        """Deploy handlers with which one function cannot start. What was there before goes on."""
        before, text = self._versions(), self._handlers.read_text()
        breaking = (PROJECT / "functions" / "subscribers" / "breaking.py").read_text()
        self._breaking.write_text(breaking.replace("BREAKING", self._breaks))
        self._handlers.write_text(text + BREAK)
        with self.report.step("a deployment that fails in the middle"), self._publishing(publisher):
            try:
                self._deploy_all()
                problem = "it did not fail"
            except DeploymentFailedError as error:
                problem = "" if f"-{self._breaks}" in str(error) else str(error)[-600:]
            self.report.check("a deployment fails at the function that cannot start, and names it", problem)
            after = self._versions()
            moved = [name for name in after if after[name] != before[name]]
            problem = (
                f"{self._breaks} moved" if self._breaks in moved else "" if moved else "no other was deployed"
            )
            self.report.check("that function stays at its version, and others have moved", problem)

    def _mend(self, publisher: Person) -> None:
        """Take back what could not start, and deploy again: the function that had to stay moves, and so do all."""
        self._handlers.write_text(self._handlers.read_text().replace(BREAK, MENDED))
        self._breaking.unlink()
        before = self._versions()
        with self.report.step("a deployment that mends it"), self._publishing(publisher):
            self._deploy_all()
            after = self._versions()
            stayed = [name for name in after if after[name] == before[name]]
            self.report.check("the next deployment moves every function", ", ".join(stayed[:5]))

    def _versions(self) -> dict[str, str]:
        """Return the version of each subscription's function that is invoked in the home Region."""
        client = self._target.client("lambda", self._fabric.home)
        name = self._fabric.name
        return {
            subscription: client.get_alias(FunctionName=f"{name}-{subscription}", Name="live")[
                "FunctionVersion"
            ]
            for subscription in self._names
        }

    def _destroy(self) -> None:
        with self.report.step("destroy"):
            unprotect_stacks(self._target, self._fabric.topology)
            self._cdk.destroy(concurrency=CONCURRENCY)
            kept, left = (
                retained(self._fabric),
                leftovers(self._target, self._fabric.regions, self._fabric.name),
            )
            self.report.check(
                "what is destroyed leaves what is retained, and nothing else", _differing(kept, left)
            )

    def _adopt(self) -> None:
        """Deploy again. The people's roles are made anew: a policy that is attached cannot be deleted by `destroy`."""
        fabric, home = self._fabric, self._fabric.home
        fabric.forget()
        with self.report.step("adopt"):
            home_stacks, away_stacks = (f"{fabric.name}-*-{region}" for region in fabric.regions)
            self._cdk.adopt(home_stacks, concurrency=CONCURRENCY)
            self._cdk.deploy(away_stacks, synthesised=True, concurrency=CONCURRENCY)
        with ExitStack() as people:
            name = fabric.name
            attached = policies(self._target, home, f"{name}-orders-publisher")
            publisher = people.enter_context(person(self._target, home, f"{name}-producer", attached))
            attached = policies(self._target, home, f"{name}-orders-operator")
            operator = people.enter_context(person(self._target, home, f"{name}-person", attached))
            self._use("after all was destroyed and adopted", publisher, operator)
            noted: Any = fabric.noted(home)
            again = [id for id, numbers in noted.items() if len(numbers) != 2]
            self.report.check("no event of before is delivered again", ", ".join(again[:5]))

    def _clean_up(self) -> None:
        with self.report.step("clean up"):
            unprotect_stacks(self._target, self._fabric.topology)
            self._cdk.destroy(concurrency=CONCURRENCY)
            delete_retained(self._target, self._fabric.topology, self._fabric.regions)
            left = leftovers(self._target, self._fabric.regions, self._fabric.name)
            self.report.check("nothing is left", ", ".join(sorted(left)[:5]))


def _differing(wanted: set[str], existing: set[str]) -> str:
    return ", ".join(sorted(wanted ^ existing)[:8])
