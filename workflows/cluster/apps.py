"""Applications on a cluster's record. Nobody needs the turn for that: nothing of the cluster changes."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from model.apps import MOST_APPS, App, Attachment
    from model.errors import InvalidInput, NotFound, Refused
    from model.facts import AppGone, AppIs
    from model.names import check_app_name
    from workflows.cluster.record import ClusterRecord


def attach(record: ClusterRecord, name: str) -> Attachment:
    """Put *name* on *record*, and return how it is there. Raises InvalidInput for what is no name, and Refused."""
    try:
        check_app_name(name)
    except ValueError as error:
        raise InvalidInput(str(error)) from None
    apps = record.spec.apps
    if (known := record.spec.app(name)) is not None:
        return Attachment(app=known, made=False)
    if len(apps) >= MOST_APPS:
        raise Refused(f"Cluster {record.spec.name} has {MOST_APPS} applications attached, the most that there are.")
    app = App(id=max((each.id for each in apps), default=0) + 1, name=name, attached_at=workflow.now())
    record.learn(AppIs(app=app))
    return Attachment(app=app, made=True)


def detach(record: ClusterRecord, name: str) -> None:
    """Take *name* off *record*. Raises NotFound."""
    if record.spec.app(name) is None:
        raise NotFound(f"Application {name!r} is not attached to cluster {record.spec.name}.")
    record.learn(AppGone(name=name))
