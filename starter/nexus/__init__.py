"""Operations for workflows of other namespaces: what answers on the Nexus endpoint; see docs/nexus.md."""
