"""Configuration: from an ini file, a dict or a call, to handlers in force.

Only re-exports: ``ini`` reads, ``plan`` checks, ``build`` makes objects,
``active`` puts them in force.
"""

from .active import ENVIRONMENT, Configurator, Loaded, configurator
from .files import Checked, check_file

__all__ = [
    "ENVIRONMENT",
    "Checked",
    "Configurator",
    "Loaded",
    "basic_config",
    "check_file",
    "configurator",
    "configure",
    "dict_config",
    "file_config",
    "loaded",
]

basic_config = configurator.basic_config
configure = configurator.configure
dict_config = configurator.dict_config
file_config = configurator.file_config
loaded = configurator.loaded
