"""Webhooks: what happened is told to an organization's workflow or found in Temporal's lists; a message is sent."""
