"""A page as a browser has it: what the tests of the reports look at, and with."""

import io
import json
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

HOSTILE = (
    "<script>window.hacked=1</script></script><img src=x onerror=\"window.hacked=1\">' onclick='x' {{ 7*7 }} "
    "${7*7} \u202egnp.exe\u202c $goal " + "w" * 400 + "\n| | |\n|.@.|" + "-" * 300
)


def picture(shade: int) -> bytes:
    """A PNG of one colour."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (shade, 90, 255 - shade)).save(buffer, "PNG")
    return buffer.getvalue()


class Page(HTMLParser):
    """What a browser makes of the page: every tag with its attributes, and the text outside of scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] not in ("script", "style"):
            self.text += data


def headline(html: str) -> str:
    """The page's first heading."""
    found = re.search("<h1>(.*?)</h1>", html)
    assert found
    return unescape(found[1])


def open_page(driver: Any, page: Path, width: int, dark: bool = False, scripts: bool = True) -> None:
    """Load at a true viewport width; a window has a least width, so it is set through the debugger."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    wishes = {"prefers-color-scheme": "dark" if dark else "light", "prefers-reduced-motion": "reduce"}
    features = [{"name": name, "value": value} for name, value in wishes.items()]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not scripts})
    driver.get_log("browser"), driver.get_log("performance")
    driver.get(page.as_uri())


def assert_fits_and_is_quiet(driver: Any, page: Path, width: int, dark: bool) -> None:
    """All of the page inside the window, nothing on its console, nothing fetched, no script but its own, its own paper."""
    open_page(driver, page, width, dark)
    driver.execute_script("document.querySelectorAll('details').forEach(d => d.open = true)")
    widths = "return [innerWidth, document.documentElement.scrollWidth, document.body.scrollWidth]"
    inner, document, body = driver.execute_script(widths)
    assert inner == width and document <= width and body <= width
    assert driver.get_log("browser") == []
    sent = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    urls = {m["params"]["request"]["url"] for m in sent if m["method"] == "Network.requestWillBeSent"}
    assert {u for u in urls if not u.startswith("data:")} == {page.as_uri()}
    assert driver.execute_script("return window.hacked === undefined && document.scripts.length") == 2
    paper = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", paper)[:3])) < 200) == dark
