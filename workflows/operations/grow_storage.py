"""GrowStorage: more storage for each node, at once; or how storage grows by itself."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from model import effects
    from model.cluster import ClusterSpec
    from model.facts import AutoGrowIs, StorageIs
    from model.operations import GrowStorageRequest, OperationResult
    from model.storage import GB, AutoGrow, StorageLevel, level_after
    from workflows.operation import Done, Operation


@workflow.defn
class GrowStorage(Operation):
    """Give a cluster more storage."""

    @workflow.run
    async def run(self, request: GrowStorageRequest) -> OperationResult:
        """See that the host can keep the promise, note it, and let clients write where that is enough."""

        async def steps() -> Done:
            spec = self.state.spec
            storage_gb = max(spec.storage_gb, request.storage_gb or 0)
            growth = _growth(request, spec)
            if (storage_gb, growth) == (spec.storage_gb, spec.auto_grow):
                return Done(_told_already(spec, request), changed=False)
            if storage_gb > spec.storage_gb:
                # No step: a refusal leaves nothing to look after.
                arg = effects.CheckDiskInput(cluster_id=spec.id, storage_gb=storage_gb)
                await self.effect(effects.CHECK_DISK, arg, "see that the disk has room")
            await self.step(
                "note the storage in Postgres",
                effects.NOTE_STORAGE,
                self._note(storage_gb, growth),
                undo=lambda: self.effect(
                    effects.NOTE_STORAGE, self._note(spec.storage_gb, spec.auto_grow), "note the former storage"
                ),
            )
            if self._is_enough(storage_gb):
                await self.step(
                    "let clients write",
                    effects.SET_READ_ONLY,
                    effects.SetReadOnlyInput(target=self.primary, read_only=False),
                    undo=lambda: self.effect(
                        effects.SET_READ_ONLY,
                        effects.SetReadOnlyInput(target=self.primary, read_only=True),
                        "let clients only read again",
                    ),
                )
            await self.conclude(StorageIs(storage_gb=storage_gb), AutoGrowIs(auto_grow=growth))
            return Done(_told(spec, storage_gb, growth))

        return await self.operate(request, steps)

    def _note(self, storage_gb: int, growth: AutoGrow | None) -> effects.NoteStorageInput:
        return effects.NoteStorageInput(target=self.primary, storage_gb=storage_gb, auto_grow=growth)

    def _is_enough(self, storage_gb: int) -> bool:
        """Tell whether a cluster that is read-only is not full any more with so much."""
        storage = self.state.status.storage
        if not storage.read_only or storage.look is None:
            return False
        return level_after(storage.level, storage.look.used_bytes, storage_gb * GB) is not StorageLevel.FULL


def _growth(request: GrowStorageRequest, spec: ClusterSpec) -> AutoGrow | None:
    if request.auto_grow_step_gb is None:
        return spec.auto_grow
    if not request.auto_grow_step_gb or request.auto_grow_max_gb is None:
        return None
    return AutoGrow(step_gb=request.auto_grow_step_gb, max_gb=request.auto_grow_max_gb)


def _told_already(spec: ClusterSpec, request: GrowStorageRequest) -> str:
    if request.storage_gb is None and spec.auto_grow is None:
        return f"Cluster {spec.name} is set already not to grow by itself."
    return f"Cluster {spec.name} has {spec.storage_gb} GB per node already."


def _told(spec: ClusterSpec, storage_gb: int, growth: AutoGrow | None) -> str:
    said = f"Cluster {spec.name} has {storage_gb} GB per node"
    if growth == spec.auto_grow:
        return f"{said}."
    if growth is None:
        return f"{said}, and does not grow by itself."
    return f"{said}, and grows by {growth.step_gb} GB whenever it is low, up to {growth.max_gb} GB."
