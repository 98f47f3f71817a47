"""Patroni beside this project. :mod:`bench.peers.section` measures; the rest makes a cluster of Patroni's."""
