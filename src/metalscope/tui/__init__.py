"""``metalscope top``: live telemetry, or a recorded session, in a terminal.

Nothing but the command imports this room: it loads textual, which comes with the extra ``top``.
"""
