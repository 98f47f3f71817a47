"""The steps of an operation as people see them: in the query ``progress``, in its result and in Temporal's UI."""

from types import MappingProxyType

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from model.operations import Step, StepStatus

_MARKS = MappingProxyType(
    {
        StepStatus.PENDING: "- [ ]",
        StepStatus.RUNNING: "- [ ] ▶",
        StepStatus.DONE: "- [x]",
        StepStatus.UNDONE: "- [ ] ↩",
        StepStatus.FAILED: "- [ ] ✗",
    }
)


class Checklist:
    """Ordered steps, each pending, running, done, undone or failed."""

    def __init__(self) -> None:
        """Begin with no step."""
        self._steps: dict[str, Step] = {}

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps in their order."""
        return tuple(self._steps.values())

    def plan(self, *names: str) -> None:
        """Announce steps to come."""
        for name in names:
            self._steps.setdefault(name, Step(name=name))
        self._show()

    def start(self, name: str) -> None:
        """The step runs now."""
        self._steps[name] = Step(name=name, status=StepStatus.RUNNING, started_at=workflow.now())
        self._show()

    def end(self, name: str, status: StepStatus) -> None:
        """The step ended so."""
        step = self._steps.get(name, Step(name=name))
        begun = step.started_at or workflow.now()
        seconds = step.seconds if step.seconds is not None else (workflow.now() - begun).total_seconds()
        self._steps[name] = step.model_copy(update={"status": status, "started_at": begun, "seconds": seconds})
        self._show()

    def undo_all(self) -> None:
        """What was done is undone, all of it."""
        for step in self.steps:
            if step.status is StepStatus.DONE:
                self._steps[step.name] = step.model_copy(update={"status": StepStatus.UNDONE})
        self._show()

    def _show(self) -> None:
        workflow.set_current_details("\n".join(f"{_MARKS[step.status]} {step.name}" for step in self.steps))
