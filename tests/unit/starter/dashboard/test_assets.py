"""Files of others that pages use: what is here is what their packages have, and pages ask for nothing else."""

import hashlib
import re
import tomllib

from starter.dashboard.page import ASSETS, HERE

SOURCES = tomllib.loads((ASSETS / "SOURCES.toml").read_text())["file"]
OWN = {"app.css", "app.js", "figures.js", "mark.svg", "metrics.js", "statements.js", "timeline.js", "SOURCES.toml"}


def test_files_of_others_are_unchanged_and_come_with_their_licences() -> None:
    for source in SOURCES:
        assert hashlib.sha256((ASSETS / source["name"]).read_bytes()).hexdigest() == source["sha256"]
    licences = {re.findall(r"\((.+)\)", source["license"])[0] for source in SOURCES}
    assert {each.name for each in ASSETS.iterdir()} == OWN | licences | {source["name"] for source in SOURCES}


def test_pages_load_nothing_from_elsewhere_and_hold_no_script_or_style() -> None:
    for template in HERE.rglob("*.html"):
        text = template.read_text()
        assert not re.search(r"""(src|href)=["'](https?:)?//""", text), template
        assert not re.search(r"""<style|\sstyle=|\son\w+=|hx-on|javascript:""", text), template
        assert all("src=" in script for script in re.findall(r"<script[^>]*>", text)), template
