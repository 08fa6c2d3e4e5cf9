"""Making answers: reading, computing, rendering, compressing. In a process of its own, so that answers from memory wait for none of it."""

from dashboard_api.making.local import LocalMaker
from dashboard_api.making.maker import Made, Maker, MakerState, Wanted
from dashboard_api.making.remote import RemoteMaker

__all__ = ["LocalMaker", "Made", "Maker", "MakerState", "RemoteMaker", "Wanted"]
