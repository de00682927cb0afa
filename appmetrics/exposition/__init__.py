"""Pure rendering: readings in, text out.

Nothing here does I/O, reads a clock or knows an instrument; who asks for the
text and where it goes is the business of ``wsgi``, ``handlers`` and ``formatters``.
"""
