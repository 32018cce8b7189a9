"""Who runs a command, for acts on record that ask for no password."""

from __future__ import annotations

import os
import pwd


def operator_name() -> str:
    """The operating system's name for who runs the command, its number if it has none."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
