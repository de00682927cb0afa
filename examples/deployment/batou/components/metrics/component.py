"""The configuration of appmetrics; a wrong one fails the deployment and changes nothing."""

import filecmp
import os

from batou import UpdateNeeded
from batou.component import Attribute, Component
from batou.lib.file import File


class Metrics(Component):
    """metrics.ini, checked with the application's own Python."""

    python = Attribute(str, default="/srv/app/venv/bin/python")
    # Not "host", which is the component's host.
    graphite_host = Attribute(str, default="127.0.0.1")
    graphite_port = Attribute(int, default=2003)
    app_name = Attribute(str, default="shop")

    def configure(self):
        """Write a draft, and put it in the place of the file once it is right."""
        self.draft = File("metrics.ini.new", source="metrics.ini")
        self.config = f"{self.workdir}/metrics.ini"
        self += self.draft

    def verify(self):
        """Something is to be done as long as the draft is not what is in force."""
        if not os.path.exists(self.config) or not filecmp.cmp(self.draft.path, self.config, False):
            raise UpdateNeeded()

    def update(self):
        """Check, then copy."""
        self.cmd(f"{self.python} -m appmetrics check {self.draft.path}")
        self.cmd(f"cp {self.draft.path} {self.config}")
