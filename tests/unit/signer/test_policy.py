"""Who may have what signed, as an administrator writes it."""

from __future__ import annotations

import os

import pytest

from datacrumbs.errors import DatacrumbsError, ExitCode
from datacrumbs.model.plan import Argument, Attach, Function, Group, Result, Target
from datacrumbs.probefile.codec import encode
from datacrumbs.serving.caller import Caller
from datacrumbs.serving.denial import DenialError
from datacrumbs.signer.authority import open_authority
from datacrumbs.signer.policy import PolicyRule, read_policy

from .deciding import ME, denied, sign

# A process in a user's container, as /etc/subuid lets each user have thousands.
SUBORDINATE = Caller(100999, 100999, 1, "100999", frozenset(), (100999,), has_account=False)


class TestPolicy:
    @pytest.mark.parametrize("rule", ["users: [me]", "groups: [physics]", f"users: [{os.getuid()}]", "groups: ['*']"])
    def test_a_rule_by_user_group_and_number(self, installation, rule):
        installation.policy(f"rules: [{{{rule}}}]")
        assert sign(installation, installation.plan())

    @pytest.mark.parametrize("text", ["rules: []", "rules: [{users: [eve]}]", "rules: [{groups: [chemistry]}]"])
    def test_nobodys_rule(self, installation, text):
        installation.policy(text)
        denied(installation, installation.plan(), "policy.user", "no rule allows user me")

    @pytest.mark.parametrize("rule", ["users: ['*']", "groups: ['*']", "users: [root, nobody]"])
    def test_an_id_without_an_account_is_in_no_rule_for_all(self, installation, rule):
        installation.policy(f"rules: [{{{rule}}}]")
        denied(installation, installation.plan(), "policy.account", "uid 100999 has no account", SUBORDINATE)

    def test_such_an_id_is_in_a_rule_that_names_its_number(self, installation):
        installation.policy("rules: [{users: [100999], max_functions: 1}]")
        denied(installation, installation.plan(), "policy.functions", "at most 1", SUBORDINATE)

    @pytest.mark.parametrize(
        ("key", "code"),
        [
            ("providers: [hdf5, 'mp*']", "policy.provider"),
            ("attach: [syscall]", "policy.attach"),
            ("modes: [profile]", "policy.mode"),
            ("targets: ['/usr/*', kernel]", "policy.target"),
            ("max_functions: 1", "policy.functions"),
            ("target_owners: [daemon]", "target.owner"),
        ],
    )
    def test_what_a_rule_forbids(self, installation, key, code):
        installation.policy(f"rules: [{{users: ['*'], {key}}}]")
        denied(installation, installation.plan(), code, "policy|owned by")

    def test_the_kernel_is_a_target_of_its_own(self, installation):
        installation.policy("rules: [{users: ['*'], targets: ['/*']}]")
        kernel = Target("", os.uname().release)
        group = Group("posix", "libc", Attach.SYSCALL, kernel, (Function("read", "read", "POSIX"),))
        denied(installation, installation.plan(groups=(group,), snippets=()), "policy.target", "target the kernel")

    def test_the_first_rule_decides(self, installation):
        installation.policy("rules: [{users: [me], max_functions: 1}, {users: ['*']}]")
        denied(installation, installation.plan(), "policy.functions", "at most 1")

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("rules: 3", "rules: 3 is not a list"),
            ("rule: []", "rule: unknown key; did you mean 'rules'"),
            ("{", "not valid YAML"),
            ("rules: [{user: [a]}]", r"rules\[0\].user: unknown key"),
            ("rules: [{users: a}]", r"rules\[0\].users: 'a' is not a list"),
            ("rules: [{grant_days: 0}]", r"rules\[0\].grant_days: 0 is not a positive"),
            ("rules: [{max_functions: yes}]", r"rules\[0\].max_functions: True"),
            ("rules: [{attach: [ptrace]}]", r"rules\[0\].attach\[0\]: 'ptrace' is not known"),
            ("rules: [{modes: [all]}]", r"rules\[0\].modes\[0\]: 'all' is not known; expected one of trace, profile"),
        ],
    )
    def test_a_wrong_policy_is_named(self, installation, text, message):
        installation.policy(text)
        with pytest.raises(DatacrumbsError, match=message) as caught:
            read_policy(installation.paths.policy)
        assert caught.value.exit_code == ExitCode.USAGE

    def test_a_policy_that_others_may_write_signs_nothing(self, installation):
        authority = open_authority(installation.paths)
        installation.paths.policy.chmod(0o666)
        plan = installation.plan()
        with pytest.raises(DenialError, match="writable by others"):
            authority.sign(encode(plan), plan, ME)


def kernel_plan(installation, attach, symbol, *arguments):
    function = Function("f", symbol, "KERNEL", arguments=arguments, result=Result.VOID)
    group = Group("posix", "kernel", attach, Target("", os.uname().release), (function,))
    return installation.plan(groups=(group,), snippets=())


class TestTheKernel:
    """What a plan may ask of the kernel's own events and functions."""

    @pytest.mark.parametrize(
        "event", ["raw_syscalls:sys_exit", "kmem:kmalloc", "sched:sched_switch", "signal:signal_generate", "lock:x"]
    )
    def test_events_are_allowed_by_name(self, installation, event):
        denied(
            installation,
            kernel_plan(installation, Attach.TRACEPOINT, event),
            "policy.event",
            f"policy: event {event} is not allowed for me",
        )
        installation.policy(f"rules: [{{users: [me], events: ['{event.partition(':')[0]}:*']}}]")
        assert sign(installation, kernel_plan(installation, Attach.TRACEPOINT, event))

    def test_kernel_functions_are_allowed_by_name(self, installation):
        """An integer of a function can be an address: `free_pages` takes one."""
        free = kernel_plan(installation, Attach.KPROBE, "free_pages")
        denied(installation, free, "policy.kernel_function", "policy: kernel function free_pages is not allowed for me")
        assert sign(installation, kernel_plan(installation, Attach.KPROBE, "vfs_read"))
        installation.policy("rules: [{users: [me], kernel_functions: ['free_*']}]")
        assert sign(installation, free)

    @pytest.mark.parametrize(
        ("attach", "symbol", "argument"),
        [
            (Attach.TRACEPOINT, "raw_syscalls:sys_exit", Argument(24, "stale", "long", size=8)),
            (Attach.TRACEPOINT, "raw_syscalls:sys_exit", Argument(0, "registers", "long", size=8)),
            (Attach.TRACEPOINT, "kmem:kmalloc", Argument(8, "call_site", "long", size=8)),
            (Attach.KPROBE, "vfs_read", Argument(0, "file", "long", size=8)),
            (Attach.KPROBE, "vfs_read", Argument(5, "register", "long", size=8)),
        ],
    )
    def test_only_what_the_kernel_declares(self, installation, attach, symbol, argument):
        installation.policy("rules: [{users: [me], events: ['*']}]")
        plan = kernel_plan(installation, attach, symbol, argument)
        denied(installation, plan, "target.argument", f"{symbol}: {argument.label}: ")

    def test_the_shipped_policy_shows_the_defaults(self, installation):
        assert read_policy(installation.paths.policy) == (PolicyRule(users=("*",)),)
