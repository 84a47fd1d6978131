"""Runs one of Flux's commands, or its validator of jobs, without a Flux: of its libraries are stubs only.

usage: flux_commands.py run|submit|batch OPTIONS
       flux_commands.py validate <JOBSPEC
       flux_commands.py earlier OPTIONS
"""

import json
import logging
import sys

import flux
from flux import debugged
from flux.cli import batch, run, submit
from flux.cli.plugin import CLIPluginRegistry, PluginArgsProxy
from flux.job import JobspecV1
from flux.job.validator import JobValidator

COMMANDS = {"run": run.RunCmd, "submit": submit.SubmitCmd, "batch": batch.BatchCmd}
debugged.get_mpir_being_debugged = lambda: 0  # of a library


def validate():
    validator = JobValidator([]).start()
    job = {"jobspec": json.load(sys.stdin), "userid": 1000, "flags": 0, "urgency": 16}
    print(validator.validate(job))


# Options had the names in their namespace that a plugin gave them, without its prefix.
def earlier(words):
    (plugin,) = (each for each in CLIPluginRegistry("run").plugins if type(each).__name__ == "DatacrumbsPlugin")
    given = argparse_of(plugin).parse_args(words)
    jobspec = JobspecV1.from_command(["app"])
    plugin.modify_jobspec(PluginArgsProxy(given, {}), jobspec)
    plugin.validate(jobspec)
    print(jobspec.dumps())


def argparse_of(plugin):
    from argparse import ArgumentParser

    parser = ArgumentParser()
    for option in plugin.options:
        parser.add_argument(option.name, **option.kwargs | {"dest": option._unprefixed_dest})
    return parser


@flux.util.CLIMain(logging.getLogger("flux"))
def main():
    name = sys.argv.pop(1)
    if name == "validate":
        validate()
    elif name == "earlier":
        earlier(sys.argv[1:])
    else:
        COMMANDS[name](f"flux {name}").run_command()


main()
