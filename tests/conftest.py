"""What tests share: one headless browser for all pages, and sums that run in one order."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A headless browser that logs its console and every request."""
    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    assert all(programs), (
        "the report's test needs a browser: apt-get update && apt-get install -y chromium chromium-driver"
    )
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = programs[0] or ""
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(programs[1] or ""))
    yield driver
    driver.quit()


@pytest.fixture
def one_thread() -> Iterator[None]:
    """PyTorch's sums in one order, whatever the machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
