"""Settings written as TOML that `--config` reads, each with where it came from in a comment beside it."""

import json
from collections.abc import Mapping, Sequence

from tsn.tsn_shared.console import printable
from tsn.tsn_shared.fields import Settings


def config_text(settings: Settings, origins: Mapping[str, str], headings: Mapping[str, Sequence[str]]) -> str:
    """Return settings under their headings; what is not set (None, of which TOML has no word) is a comment."""
    values, lines = settings.plain(), []
    for heading, names in headings.items():
        lines += [f"# {heading}"]
        for name in names:
            value = values[name]
            text = f"# {name} is not set" if value is None else f"{name} = {_toml(value)}"
            lines.append(f"{text}  # {printable(origins[name])}")
        lines.append("")
    return "\n".join(lines[:-1])


def _toml(value: object) -> str:
    """Return a value as TOML writes it: as JSON does, but for a float that is whole and the letter DEL."""
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
