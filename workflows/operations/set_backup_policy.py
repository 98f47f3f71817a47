"""SetBackupPolicy: when backups are made and how long they are kept."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from model import effects
    from model.backups import BackupPolicy
    from model.cron import OFF
    from model.facts import BackupPolicyIs
    from model.operations import OperationResult, SetBackupPolicyRequest
    from workflows.operation import Done, Operation
    from workflows.operations.scheduling import schedules_of

STEP = "change the schedules of backups"


@workflow.defn
class SetBackupPolicy(Operation):
    """Change when backups are made and how long they are kept."""

    @workflow.run
    async def run(self, request: SetBackupPolicyRequest) -> OperationResult:
        """Change the schedules; undone by putting the former ones back. What is kept changes with the next backup."""

        async def steps() -> Done:
            spec = self.state.spec
            assert spec.backups is not None, "checked with the turn"
            old = spec.backups.policy
            new = _changed(old, request)
            # Also where nothing changes: the schedules may be missing.
            await self.step(
                STEP,
                effects.PUT_SCHEDULES,
                schedules_of(self, new),
                undo=lambda: self.effect(
                    effects.PUT_SCHEDULES, schedules_of(self, old), "put the former schedules back"
                ),
            )
            if new == old:
                self.keep()
                return Done(f"Cluster {spec.name} is backed up so already.", changed=False)
            await self.conclude(BackupPolicyIs(policy=new))
            return Done(f"Cluster {spec.name} is backed up at '{new.full}' (full) and '{new.incr}' (incremental), UTC.")

        return await self.operate(request, steps)


def _changed(old: BackupPolicy, request: SetBackupPolicyRequest) -> BackupPolicy:
    asked = {name: getattr(request, name) for name in BackupPolicy.model_fields}
    if request.drill == OFF:
        asked["drill"] = ""
    return old.model_copy(update={name: value for name, value in asked.items() if value is not None})
