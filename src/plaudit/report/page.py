"""What the report of a run and the report of a comparison share: template, style, script and security policy.

Everything that comes from outside is untrusted text: the template engine escapes all of it, and the page's own policy
lets no script run but the one that is written into it.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from plaudit.report import words


def page(template: str, **values: Any) -> str:
    """One self-contained HTML page."""
    environment = Environment(
        loader=PackageLoader("plaudit.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= words.FILTERS
    script, style = (environment.loader.get_source(environment, name)[0] for name in ("player.js", "style.css"))  # type: ignore[union-attr]
    return environment.get_template(template).render(
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        style=Markup(style),
        **values,
    )
