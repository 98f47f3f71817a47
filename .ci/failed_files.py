"""Print the files in which tests failed in the last run of pytest here."""

import json
from pathlib import Path

LAST_FAILED = Path(".pytest_cache/v/cache/lastfailed")

if LAST_FAILED.exists():
    print(" ".join(sorted({name.partition("::")[0] for name in json.loads(LAST_FAILED.read_text())})))
