"""`python -m starter.quickstart`."""

from starter.leave import leave
from starter.quickstart.main_job import main

leave(main())
