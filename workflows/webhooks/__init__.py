"""The workflow of an organization's webhooks, and that of one delivery."""
