"""Install, uninstall and check the mapping of an application's schema. No Dagster."""

from pipelines.source.check import SourceProblem, check_source
from pipelines.source.install import install_source, uninstall_source
from pipelines.source.mapping import Capture, Change, SourceError, SourceMapping, load_mapping

__all__ = [
    "Capture",
    "Change",
    "SourceError",
    "SourceMapping",
    "SourceProblem",
    "check_source",
    "install_source",
    "load_mapping",
    "uninstall_source",
]
