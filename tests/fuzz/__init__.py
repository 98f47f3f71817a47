"""Random input for the API, made by hypothesis: ``python -m tests.fuzz``."""
