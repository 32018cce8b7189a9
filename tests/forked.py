"""A step in a child of its own, which may kill itself in the midst."""

import os


def in_child(act):
    """Run `act` in a child; its exit status, negative for a signal."""
    child = os.fork()
    if not child:
        code = 1
        try:
            act()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
