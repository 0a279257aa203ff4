"""Upload: what is shown of a file that a visitor brought."""

from __future__ import annotations

import re


def shown_name(filename: str, unnamed: str) -> str:
    """Give the name without folders and without characters that only confuse."""
    name = re.split(r"[/\\]", filename)[-1]
    return "".join(filter(str.isprintable, name))[:100] or unnamed
