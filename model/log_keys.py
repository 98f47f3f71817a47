"""What a line of the log calls the workflow that it is about, whoever writes it."""

from model.operations import OPERATIONS


def workflow_keys(workflow_id: str, workflow_type: str) -> dict[str, str]:
    """Return the keys for a workflow: ``operation`` is the id of one, ``workflow`` that of a cluster or of a name."""
    return {"operation" if workflow_type in OPERATIONS else "workflow": workflow_id, "workflow_type": workflow_type}
