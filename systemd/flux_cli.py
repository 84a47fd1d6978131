"""Options of Flux's commands that submit jobs, for jobs that are traced (one of /etc/flux/cli/plugins).

It is loaded by Flux's own interpreter, which may be as old as Python 3.6, also where jobs are validated before they are
taken. The check of what a job says of tracing is that of prologs.
"""

import importlib.util
import os
import sys

from flux.cli.plugin import CLIPlugin

_SECTION = "@PACKAGE@/jobs/metadata_section.py"
_VARIABLE = "DATACRUMBS_PROBE_FILE"


def _section_module():
    spec = importlib.util.spec_from_file_location("_datacrumbs_section", _SECTION)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# Its name in the namespace of options: with the plugin's prefix since April 2026, without it before.
def _given(args, name):
    value = getattr(args, "datacrumbs_" + name, None)
    return getattr(args, name, None) if value is None else value


class DatacrumbsPlugin(CLIPlugin):
    """Trace a job's I/O with DataCrumbs.

    Compose a probe file first (datacrumbs_probe_configurator), then:

        flux run --datacrumbs-enable --datacrumbs-probe-file=probes.json.gz -n4 ./app

    The trace is where the site keeps traces; datacrumbs_report shows it. Why a job is not traced is raised as an
    exception of severity 7, which does not end the job.
    """

    def __init__(self, prog):
        super().__init__(prog, prefix="datacrumbs")
        self.add_option("--enable", action="store_true", help="Trace the job with the probe file.")
        self.add_option(
            "--probe-file",
            metavar="FILE",
            help="Trace the job with this signed probe file (default: $" + _VARIABLE + ").",
        )

    def modify_jobspec(self, args, jobspec):
        """Write what the options ask for into ``attributes.system.datacrumbs``."""
        path = _given(args, "probe_file")
        if not path and not _given(args, "enable"):
            return
        path = path or os.environ.get(_VARIABLE)
        if not path:
            raise ValueError("no probe file: give --datacrumbs-probe-file FILE, or set " + _VARIABLE)
        section = _section_module()
        if section.KEY in jobspec.attributes.get("system", {}):
            raise ValueError("the job has the attribute system.datacrumbs already: leave out --datacrumbs options")
        path = os.path.abspath(path)
        if not os.access(path, os.R_OK):
            print("datacrumbs: " + path + ": not readable here; it must be where the job runs", file=sys.stderr)
        jobspec.setattr("system." + section.KEY, {section.ENABLE: "yes", section.PROBE_FILE: path})

    def validate(self, jobspec):
        """Refuse a job whose attribute is not exactly right, also one that this plugin did not write."""
        system = jobspec.attributes.get("system", {})
        section = _section_module()
        if section.KEY in system:
            section.asked_probe_file(system[section.KEY])
