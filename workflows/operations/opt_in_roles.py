"""OptInRoles: a cluster made before the role system comes under it, objects already there included."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from model import effects
    from model.facts import RolesAdopted
    from model.operations import OperationResult, OptInRolesRequest
    from model.tuning import connection_limit
    from workflows.operation import Done, Operation


@workflow.defn
class OptInRoles(Operation):
    """Bring a cluster under the role system."""

    @workflow.run
    async def run(self, request: OptInRolesRequest) -> OperationResult:
        """Adopt users, databases and objects. Repeating it finishes what a lost try began."""

        async def steps() -> Done:
            spec = self.state.spec
            if not spec.legacy_roles:
                return Done(f"Cluster {spec.name} uses the role system already.", changed=False)
            await self.step(
                "adopt users, databases and objects",
                effects.ADOPT_ROLES,
                effects.AdoptRolesInput(
                    target=self.primary,
                    users=spec.users,
                    databases=spec.databases,
                    connection_limit=connection_limit(spec.plan),
                ),
            )
            await self.conclude(RolesAdopted())
            return Done(f"Cluster {spec.name} uses the role system now.")

        return await self.operate(request, steps)
