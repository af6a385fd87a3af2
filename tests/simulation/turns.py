"""Several pieces of code at once, one step at a time, in an order that a chooser decides: threads without chance."""

from collections.abc import Callable
from threading import Semaphore, Thread, local

from eventfabric.testing.memory.faults import Fault
from eventfabric.testing.memory.stream import Chooser


class _Abandoned(BaseException):
    """The run ended before this job did."""


class _Worker:
    def __init__(self, job: Callable[[], None], of: "Turns") -> None:
        self.go = Semaphore(0)
        self.yielded = Semaphore(0)
        self.done = False
        self.abandoned = False
        self.failure: BaseException | None = None
        self._job = job
        self._of = of
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self._of.current.worker = self
        self.go.acquire()
        try:
            if not self.abandoned:
                self._job()
        except BaseException as error:  # of whatever kind: it is raised again by the one who runs the turns
            self.failure = error
        self.done = True
        self.yielded.release()

    def step(self) -> None:
        self.go.release()
        self.yielded.acquire()


class Turns:
    """Runs jobs by turns: each goes on from one pause to its next, and nothing else moves meanwhile."""

    def __init__(self) -> None:
        self.current = local()

    def rule(self, called: str, number: int, of_name: int) -> Fault | None:
        """A rule for Faults that fails nothing: every call of a port is a pause before it."""
        worker: _Worker | None = getattr(self.current, "worker", None)
        if worker is not None:
            worker.yielded.release()
            worker.go.acquire()
            if worker.abandoned:
                raise _Abandoned
        return None

    def run(self, choose: Chooser, *jobs: Callable[[], None]) -> None:
        """Run the jobs to their ends; raises the first failure of one."""
        workers = [_Worker(job, self) for job in jobs]
        try:
            while running := [worker for worker in workers if not worker.done]:
                running[choose(len(running))].step()
        finally:
            for worker in workers:
                worker.abandoned = True
                while not worker.done:
                    worker.step()
        for worker in workers:
            if worker.failure is not None:
                raise worker.failure
