"""What a line of the log calls the workflow that it is about, whoever writes it."""

from model.names import cluster_of_workflow
from model.operations import OPERATIONS


def workflow_keys(workflow_id: str, workflow_type: str) -> dict[str, str]:
    """Return the keys for a workflow: ``operation`` is the id of one, ``workflow`` that of a cluster or of a name.

    A cluster's own says with ``cluster`` which it is; of an operation whoever has its input does.
    """
    keys = {"operation" if workflow_type in OPERATIONS else "workflow": workflow_id, "workflow_type": workflow_type}
    cluster = cluster_of_workflow(workflow_id)
    return keys if cluster is None else {**keys, "cluster": cluster}
