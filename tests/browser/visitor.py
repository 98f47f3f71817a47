"""Somebody at a browser: opens pages, waits for what they show, and looks at them in all four ways."""

from pathlib import Path
from typing import Any

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect

BOUND_MS = 60_000
"""For anything to show: far longer than it takes, for a machine that has other things to do."""
WIDTHS = {"wide": 1280, "narrow": 390}
SCHEMES = ("light", "dark")
RULES = {"resultTypes": ["violations"], "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}
SERIOUS = {"serious", "critical"}


class Visitor:
    """One page of a browser. What its console says is kept."""

    def __init__(self, page: Page, base: str, screenshots: Path) -> None:
        """Use *page* for the dashboard at *base*; pictures go to *screenshots*."""
        self.page = page
        self.base = base
        self.complaints: list[str] = []
        self._screenshots = screenshots
        page.set_default_timeout(BOUND_MS)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)

    async def open(self, path: str) -> None:
        """Go to a page, which must be there."""
        answer = await self.page.goto(self.base + path)
        assert answer is not None
        assert answer.status == 200, f"{path}: {answer.status}"

    def picture(self, name: str) -> Path:
        """Return where a picture called *name* goes."""
        return self._screenshots / f"{name}.png"

    async def look(self, name: str) -> None:
        """See that the page fits at each width and that axe finds nothing serious in either scheme; keep pictures."""
        for scheme in SCHEMES:
            await self.page.emulate_media(color_scheme=scheme)  # pyright: ignore[reportArgumentType]
            for width, pixels in WIDTHS.items():
                await self.page.set_viewport_size({"width": pixels, "height": 800})
                wider = await self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
                assert wider <= 0, f"{name} is {wider} pixels wider than {pixels}"
                picture = self.picture(f"{name}-{width}-{scheme}")
                await self.page.screenshot(path=picture, full_page=True, animations="disabled")
            found = await self._serious()
            assert found == [], f"{name}, {scheme}: {found}"
        await self.page.emulate_media(color_scheme="light")
        await self.page.set_viewport_size({"width": WIDTHS["wide"], "height": 800})

    async def _serious(self) -> list[tuple[str, list[str]]]:
        found: dict[str, Any] = (await Axe().run(self.page, options=RULES)).response
        return [
            (each["id"], [str(node["html"]) for node in each["nodes"]])
            for each in found["violations"]
            if each["impact"] in SERIOUS
        ]

    async def confirm(self, button: str, picture: str = "") -> None:
        """Start what an open dialog is about."""
        dialog = self.page.locator("#dialog[open]")
        await expect(dialog.get_by_text("What will happen")).to_be_visible(timeout=BOUND_MS)
        if picture:
            await self.look(picture)
        await dialog.get_by_role("button", name=button).click()

    async def await_operation(self, title: str) -> None:
        """See the page of an operation come to its good end by itself, without being loaded again."""
        await self.page.wait_for_url("**/operations/**")
        await self.page.evaluate("window.loadedOnce = true")
        await expect(self.page.get_by_role("heading", name=title)).to_be_visible(timeout=BOUND_MS)
        await expect(self.page.locator(".title .tag")).to_have_text("Done", timeout=BOUND_MS)
        assert await self.page.locator(".steps li.done").count() == await self.page.locator(".steps li").count()
        assert await self.page.evaluate("window.loadedOnce")
