"""SetTls: the cluster's servers offer TLS, or require it. No session is dropped, nothing is restarted."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from model import effects
    from model.cluster import Tls
    from model.facts import TlsIs
    from model.operations import OperationResult, SetTlsRequest
    from workflows.operation import Done, Operation


@workflow.defn
class SetTls(Operation):
    """Have new connections to a cluster be encrypted where clients can, or always."""

    @workflow.run
    async def run(self, request: SetTlsRequest) -> OperationResult:
        """Put it in force on nodes and poolers; undone by putting what was before in force."""

        async def steps() -> Done:
            spec = self.state.spec
            wanted = Tls.REQUIRED if request.required else Tls.OFFERED
            # Also where nothing changes: a certificate may be missing.
            await self.step(
                "refuse plain connections" if request.required else "offer TLS",
                effects.SET_TLS,
                self._arg(wanted),
                undo=lambda: self.effect(effects.SET_TLS, self._arg(spec.tls), "put the former way back"),
            )
            if spec.tls is wanted:
                self.keep()
                return Done(f"Cluster {spec.name} is so already.", changed=False)
            await self.conclude(TlsIs(tls=wanted))
            if request.required:
                return Done(f"Cluster {spec.name} refuses new connections without TLS; open ones stay.")
            return Done(f"Cluster {spec.name} takes new connections with and without TLS.")

        return await self.operate(request, steps)

    def _arg(self, tls: Tls) -> effects.SetTlsInput:
        spec, status = self.state.spec, self.state.status
        assert status.endpoint is not None, "a cluster that takes operations has its endpoint"
        assert status.network is not None, "and its network"
        return effects.SetTlsInput(
            cluster_id=spec.id,
            cluster_name=spec.name,
            tls=tls,
            network=status.network,
            nodes=status.nodes,
            endpoint=status.endpoint,
            poolers=status.poolers,
            plan=spec.plan,
            primary_address=self.primary.address,
            backups=spec.backups is not None,
        )
