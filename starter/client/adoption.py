"""Finding clusters that no workflow knows, and taking them over."""

from datetime import timedelta

from model.adoption import FoundCluster, FoundClusters
from model.errors import AlreadyExists, NotFound, Refused, StackDown
from model.operations import AdoptClusterRequest, FindClustersRequest
from model.validation import validated
from starter.client.operation import Operation
from starter.client.questions import ask
from starter.client.submission import Submission

FIND_TIMEOUT = timedelta(seconds=60)
"""Bound on a look at a host. Each cluster takes a fraction of a second, or 5 s where its primary does not answer."""


class Adoption(Submission):
    """The part of :class:`starter.client.MpgClient` for clusters whose record was lost."""

    async def found_clusters(self, *, read: bool = True, timeout: timedelta = FIND_TIMEOUT) -> tuple[FoundCluster, ...]:
        """Return the clusters of which this host has containers, known ones too, by name. Nothing is changed.

        With *read* those that are not known are looked at closely: what adopting them would find, and what would keep
        it from being done. Raises :class:`~model.errors.StackDown` when the host's worker does not answer in *timeout*.
        """
        host = self._settings.host_name
        found = await ask(
            self._client,
            self._settings,
            FindClustersRequest.workflow,
            validated(FindClustersRequest, host=host, read=read),
            about=host,
            answer=FoundClusters,
            within=timeout,
            summary=f"Which clusters are on {host}",
            silent=StackDown(f"The worker of host {host} does not answer.", remedy="See 'mpg doctor'."),
        )
        return found.clusters

    async def adopt_cluster(
        self, cluster: str, *, new_key: bool = False, name: str | None = None, request_id: str | None = None
    ) -> Operation:
        """Start taking over *cluster*, an id or the name on its containers' labels, into this Temporal.

        With *new_key* its platform's roles get passwords of this stack's master key; users keep theirs. *name* is the
        one that it gets where its own is taken. A cluster that is known is left as it is.

        Raises:
            NotFound: this host has no containers of such a cluster.
            Refused: several have that name.
            AlreadyExists: another cluster has the name.
        """
        found = self._choose(await self.found_clusters(read=False), cluster)
        request = validated(
            AdoptClusterRequest,
            cluster_id=found.id,
            host=self._settings.host_name,
            new_key=new_key,
            name=name,
        )
        called = name or found.name
        if earlier := await self._earlier(request, called, request_id):
            return earlier
        if not found.known and await self._claim(found.org, called) not in {None, found.id}:
            raise AlreadyExists(
                f"Organization {found.org} has another cluster {called!r} already.",
                remedy="Adopt this one by its id, under a new name: --name NAME.",
            )
        return await self._start(request, called, found.org, request_id)

    def _choose(self, clusters: tuple[FoundCluster, ...], wanted: str) -> FoundCluster:
        """An id names one; a name does where only one that is not known has it."""
        by_id = [each for each in clusters if each.id == wanted]
        unknown = [each for each in clusters if each.name == wanted and not each.known]
        chosen = by_id or unknown or [each for each in clusters if each.name == wanted]
        if not chosen:
            raise NotFound(f"There are no containers of a cluster {wanted!r} on this host.", remedy="See 'mpg adopt'.")
        if len(chosen) > 1:
            ids = ", ".join(each.id for each in chosen)
            raise Refused(
                f"Several clusters on this host are called {wanted!r}.", remedy=f"Say which by its id: {ids}."
            )
        return chosen[0]
