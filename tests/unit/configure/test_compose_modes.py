"""What a site file says of how much is kept of calls."""

from __future__ import annotations

import pytest

from datacrumbs.configure import compose
from datacrumbs.errors import DatacrumbsError, ExitCode
from datacrumbs.model.plan import Mode, with_mode
from datacrumbs.probefile.codec import decode, encode
from datacrumbs.probefile.show import describe, readable
from datacrumbs.provider import Attach, Function, Layer, ProbeTarget, Target

from .unsigned import unsigned

CALLS = ProbeTarget(Target("", "6.18.0"), Attach.SYSCALL, "system calls")

FSYNC = "{provider: sys, functions: fsync, mode: profile}"
BOTH = f"{{sample: 7, providers: [sys, {FSYNC}]}}"


@pytest.fixture
def system(make_plugin):
    functions = [Function(name, name, "POSIX", number) for number, name in enumerate(("read", "write", "fsync"))]
    return make_plugin("sys", [(CALLS, functions)], layer=Layer.SYSTEM_CALLS)


def kept(plan):
    return {function.name: (group.mode.value, group.sample) for group in plan.groups for function in group.functions}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("providers: [sys]", {"read": ("trace", 1), "write": ("trace", 1), "fsync": ("trace", 1)}),
        ("{mode: profile, providers: [sys]}", dict.fromkeys(("read", "write", "fsync"), ("profile", 1))),
        ("{sample: 7, providers: [sys]}", dict.fromkeys(("read", "write", "fsync"), ("trace", 7))),
        (
            "{providers: [sys, {provider: sys, functions: read, mode: profile}]}",
            {"read": ("profile", 1), "write": ("trace", 1), "fsync": ("trace", 1)},
        ),
        (
            "{mode: profile, providers: [{provider: sys, functions: 'read|write', sample: 7}, sys]}",
            {"read": ("trace", 7), "write": ("trace", 7), "fsync": ("profile", 1)},
        ),
        (
            f"{{sample: 7, providers: [sys, {FSYNC}, {{provider: sys, functions: write, sample: 1}}]}}",
            {"read": ("trace", 7), "write": ("trace", 1), "fsync": ("profile", 1)},
        ),
        (
            "{providers: [{provider: sys, mode: profile}, {provider: sys, functions: read, mode: trace}]}",
            {"read": ("trace", 1), "write": ("profile", 1), "fsync": ("profile", 1)},
        ),
    ],
)
def test_the_last_entry_that_says_it_decides(site, load, host, system, text, expected):  # noqa: PLR0917 -- fixtures
    plan = compose(site(text), load(system), host)
    assert kept(plan) == expected
    assert decode(encode(plan)) == plan


def test_entries_of_the_other_form_say_it_too(site, load, host, system):
    entry = "{name: s, probe: syscalls, type: header, file: /usr/include/asm/unistd.h, regex: sys_read, mode: profile}"
    plan = compose(site(f"capture_probes: [{{provider: sys}}, {entry}]"), load(system), host)
    assert kept(plan)["read"] == ("profile", 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mode: count", "mode: 'count' is not known"),
        ("sample: 0", "sample: 0 is not a number of calls; expected a whole number from 1 to 1000000"),
        ("sample: 1.5", "is not a number of calls"),
        ("sample: true", "is not a number of calls"),
        ("mode: profile\nsample: 2", "a profile counts every call"),
    ],
)
def test_mistakes(site, text, message):
    with pytest.raises(DatacrumbsError) as raised:
        site(f"providers: [sys]\n{text}\n")
    assert raised.value.exit_code == ExitCode.USAGE
    assert message in raised.value.message


def test_the_command_line_says_it_for_every_function(site, load, host, system):
    plan = compose(site(BOTH), load(system), host)
    assert with_mode(plan, None) is plan
    assert set(kept(with_mode(plan, Mode.PROFILE)).values()) == {("profile", 1)}
    assert kept(with_mode(plan, Mode.TRACE)) == {"read": ("trace", 7), "write": ("trace", 7), "fsync": ("trace", 1)}


def test_show_tells(site, load, host, system):
    plan = compose(site(BOTH), load(system), host)
    text = readable(unsigned(plan))
    assert "], 1, profiled" in text
    assert "], 2, one of 7 calls" in text
    assert [(group["mode"], group["sample"]) for group in describe(unsigned(plan))["groups"]] == [
        ("profile", 1),
        ("trace", 7),
    ]
