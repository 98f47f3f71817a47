"""One module for each operation, named like it. Nothing but ``workflows.registry`` imports them."""
