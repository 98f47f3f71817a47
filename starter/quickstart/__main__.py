"""`python -m starter.quickstart`."""

from starter.cli.leave import leave
from starter.quickstart.main_job import main

leave(main())
