"""What the page asks of the past, wherever that is kept; see :mod:`metalscope.page.source`."""
