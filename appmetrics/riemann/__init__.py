"""Riemann's wire: events, a client that sends and queries, and what both stand on.

The handler that sends an application's series is ``handlers.riemann``. Needs the
extra ``riemann`` (bernhard and protobuf).
"""

from .client import Client
from .events import Event
from .transport import ProtocolError, Refused

__all__ = ["Client", "Event", "ProtocolError", "Refused"]
