"""Chromium: found, or installed from Debian. Whoever only runs mpg does not need it."""

import shutil

from starter.prerequisites.command import apt_install, can_install_packages

PACKAGES = ["chromium", "fonts-dejavu-core"]


def find_chromium() -> str:
    """Return the program's path."""
    if shutil.which("chromium") is None:
        assert can_install_packages(), "Tests of the dashboard need 'chromium' in the path: install it."
        apt_install(PACKAGES, print)
    found = shutil.which("chromium")
    assert found is not None
    return found
