"""What the process is doing right now: its requests, its threads, and which take too long.

Knows no server and no page; what it finds is logged by ``slow`` and shown by
``wsgi.debug``. Everything here only looks, and none of it keeps a frame.
"""
