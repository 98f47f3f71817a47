"""The client over HTTP: for who reaches the API and not Temporal."""

from starter.client.http.client import HttpMpgClient

__all__ = ["HttpMpgClient"]
