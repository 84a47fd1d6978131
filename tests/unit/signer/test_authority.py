from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from datacrumbs.elf.functions import elf_functions
from datacrumbs.engine import compiler
from datacrumbs.errors import DatacrumbsError, ExitCode
from datacrumbs.kernel import header_files
from datacrumbs.model.licences import is_gpl_compatible
from datacrumbs.model.plan import Argument, Attach, Function, Group, Result, Returns, Target, UsdtPlace
from datacrumbs.probefile.codec import encode
from datacrumbs.serving.caller import Caller
from datacrumbs.serving.denial import DenialError
from datacrumbs.signer.authority import open_authority
from datacrumbs.signer.compilation import REMEMBERED, Compilation
from datacrumbs.signer.policy import Rule, read_policy

ME = Caller(os.getuid(), os.getgid(), 1, "me", frozenset({"physics"}), (os.getgid(),))
NOBODY = Caller(65534, 65534, 1, "nobody", frozenset({"nogroup"}), (65534,))
# A process in a user's container, as /etc/subuid lets each user have thousands.
SUBORDINATE = Caller(100999, 100999, 1, "100999", frozenset(), (100999,), has_account=False)


MOVABLE = """
int second(void) { return 1; }
__asm__(".globl first\\n.type first, @function\\nfirst: .cfi_startproc\\nxor %edx, %edx\\n"
        "push %rbx\\npop %rbx\\nret\\n.cfi_endproc\\n");
"""


def sign(installation, plan, caller=ME):
    return open_authority(installation.paths).sign(encode(plan), plan, caller)


def denied(installation, plan, code, message, caller=ME):
    with pytest.raises(DenialError, match=message) as caught:
        sign(installation, plan, caller)
    assert caught.value.code == code
    assert caught.value.exit_code == ExitCode.REFUSED


class TestPolicy:
    @pytest.mark.parametrize("rule", ["users: [me]", "groups: [physics]", f"users: [{os.getuid()}]", "groups: ['*']"])
    def test_a_rule_by_user_group_and_number(self, installation, rule):
        installation.policy(f"rules: [{{{rule}}}]")
        assert sign(installation, installation.plan())

    @pytest.mark.parametrize("text", ["rules: []", "rules: [{users: [eve]}]", "rules: [{groups: [chemistry]}]"])
    def test_nobodys_rule(self, installation, text):
        installation.policy(text)
        denied(installation, installation.plan(), "policy.user", "no rule lets user me")

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
            f"policy: event {event} is not allowed to me",
        )
        installation.policy(f"rules: [{{users: [me], events: ['{event.partition(':')[0]}:*']}}]")
        assert sign(installation, kernel_plan(installation, Attach.TRACEPOINT, event))

    def test_kernel_functions_are_allowed_by_name(self, installation):
        """An integer of a function can be an address: `free_pages` takes one."""
        free = kernel_plan(installation, Attach.KPROBE, "free_pages")
        denied(installation, free, "policy.kernel_function", "policy: kernel function free_pages is not allowed to me")
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
        assert read_policy(installation.paths.policy) == (Rule(users=("*",)),)


class TestSnippets:
    def test_an_untrusted_snippet(self, installation):
        installation.trust("something else")
        denied(
            installation, installation.plan(), "snippet.untrusted", "posix/one of datacrumbs-posix 0.1.0 .*not trusted"
        )

    def test_an_altered_snippet(self, installation):
        plan = installation.plan()
        snippet = replace(plan.snippets[0], text=plan.snippets[0].text + " ")
        denied(installation, replace(plan, snippets=(snippet,)), "snippet.untrusted", "not trusted")

    @pytest.mark.parametrize("change", [{"version": "0.1.1"}, {"distribution": "other"}])
    def test_a_trusted_text_under_another_package(self, installation, change):
        plan = installation.plan()
        plan = replace(plan, providers=(replace(plan.providers[0], **change),))
        denied(installation, plan, "snippet.untrusted", "not trusted")

    def test_a_trusted_text_under_another_name(self, installation):
        plan = installation.plan()
        plan = replace(plan, snippets=(*plan.snippets, replace(plan.snippets[0], name="two")))
        denied(installation, plan, "snippet.untrusted", "posix/two of datacrumbs-posix 0.1.0 .*not trusted")

    def test_a_clash_with_another_snippet_is_not_remembered(self, installation):
        """Which snippets are in a plan is its author's choice."""
        (snippet,) = installation.plan().snippets
        text = snippet.text + "static __always_inline int helper(void) { return 1; }\n"
        one, two = (replace(snippet, name=name, text=text) for name in ("one", "two"))
        compilation = Compilation()
        with pytest.raises(DenialError, match=r"snippet two.bpf.c:3: redefinition of 'helper'") as caught:
            compilation.check((one, two))
        assert caught.value.code == "snippet.faulty"
        compilation.check((two,))
        compilation.check((one,))
        assert list(compilation.said().values()) == ["", ""]

    def test_a_fault_beside_other_snippets_is_remembered(self, installation, monkeypatch):
        (snippet,) = installation.plan().snippets
        faulty = replace(snippet, name="two", text=snippet.text + "this is no C\n")
        compilation = Compilation()
        for _ in ("compiled", "remembered"):
            with pytest.raises(DenialError, match=r"snippet two.bpf.c:3: "):
                compilation.check((snippet, faulty))
            monkeypatch.setattr(compiler, "complaint", None)
        assert len(compilation.said()) == 1

    def test_what_is_remembered_has_a_bound(self):
        compilation = Compilation()
        compilation.learn((str(number), "") for number in range(REMEMBERED + 3))
        assert list(compilation.said()) == [str(number) for number in range(3, REMEMBERED + 3)]

    @pytest.mark.parametrize("said", ["Apache-2.0", "LicenseRef-Mine"])
    def test_a_licence_that_the_kernel_does_not_take(self, installation, said):
        text = f"/* x */\n/* SPDX-License-Identifier: {said} */\n"
        installation.trust(text)
        plan = installation.plan()
        plan = replace(plan, snippets=(replace(plan.snippets[0], text=text, licence=said),))
        denied(installation, plan, "snippet.licence", f"licence {said} is not compatible")

    def test_a_snippet_that_does_not_compile(self, installation):
        text = installation.plan().snippets[0].text + "static __always_inline int helper(void) { return missing; }\n"
        installation.trust(text)
        plan = installation.plan()
        plan = replace(plan, snippets=(replace(plan.snippets[0], text=text),))
        authority = open_authority(installation.paths)
        for _ in ("compiled", "remembered"):
            with pytest.raises(DenialError, match=r"provider posix, snippet one.bpf.c:3: .*'missing'") as caught:
                authority.sign(encode(plan), plan, ME)
            assert caught.value.code == "snippet.faulty"

    @pytest.mark.parametrize("lacking", ["headers", "bcc", "time"])
    def test_where_nothing_can_be_compiled_the_daemon_has_the_word(self, installation, monkeypatch, lacking):
        text = installation.plan().snippets[0].text + "this is no C\n"
        installation.trust(text)
        plan = installation.plan()
        plan = replace(plan, snippets=(replace(plan.snippets[0], text=text),))
        if lacking == "headers":
            monkeypatch.setattr(header_files, "MODULES", installation.paths.prefix / "none")
        elif lacking == "bcc":
            monkeypatch.setitem(sys.modules, "bcc", None)
            monkeypatch.setattr(compiler.importlib.util, "find_spec", lambda _: None)
        else:
            monkeypatch.setattr(compiler, "_words", lambda *_, **__: ("", -signal.SIGXCPU))
        assert sign(installation, plan)

    def test_a_licence_that_the_text_does_not_state(self, installation):
        text = "/* SPDX-License-Identifier: Apache-2.0 */\n"
        installation.trust(text)
        plan = installation.plan()
        plan = replace(plan, snippets=(replace(plan.snippets[0], text=text),))
        denied(installation, plan, "snippet.licence", "the text says licence Apache-2.0")

    @pytest.mark.parametrize(
        ("expression", "compatible"),
        [
            ("GPL-2.0-only", True),
            ("MIT OR Apache-2.0", True),
            ("MIT AND Apache-2.0", False),
            ("(MIT OR Apache-2.0) AND Apache-2.0", False),
            ("GPL-3.0-only", False),
            ("", False),
        ],
    )
    def test_licence_expressions(self, expression, compatible):
        assert is_gpl_compatible(expression) is compatible


class TestTargets:
    def test_a_moved_build_id(self, installation):
        plan = installation.plan()
        installation.build("int first(void) { return 7; }\nint second(void) { return 8; }\n")
        denied(installation, plan, "target.changed", "moved build-id")

    def test_a_missing_file_and_a_link(self, installation):
        target = installation.target()
        link = installation.directory / "link.so"
        link.symlink_to(installation.library)
        denied(installation, installation.plan_of(replace(target, path=str(link))), "target.changed", "symbolic link")
        absent = replace(target, path="/absent/$(id)")
        denied(installation, installation.plan_of(absent), "target.changed", "No such file")

    def test_another_kernel(self, installation):
        group = Group("posix", "x", Attach.SYSCALL, Target("", "0.0.1"), (Function("read", "read", "POSIX"),))
        denied(installation, installation.plan(groups=(group,), snippets=()), "target.changed", "release 0.0.1")

    def test_a_place_inside_an_instruction(self, installation):
        inside = installation.offsets()[1] + 1
        plan = installation.plan_of(installation.target(), inside)
        denied(installation, plan, "target.place", f"offset {inside:#x} is not the start of a function")

    def test_a_moved_probe(self, installation):
        installation.build(MOVABLE)
        target = installation.target()
        offset = next(each.offset for each in elf_functions(installation.library) if each.name == "first")
        function = Function("first", "first", "POSIX", offset=offset)

        def moved(skip, *captured):
            arguments = tuple(Argument(index, f"a{index}") for index in captured)
            groups = (
                Group("posix", "libc", Attach.UPROBE, target, (replace(function, skip=skip, arguments=arguments),)),
            )
            return installation.plan(groups=groups, snippets=())

        for skip in (0, 2):
            assert sign(installation, moved(skip))
        for skip in (1, 3):
            denied(
                installation, moved(skip), "target.place", f"at {offset:#x} is {skip} bytes further; expected 0 or 2"
            )
        assert sign(installation, moved(2, 0, 1))
        denied(installation, moved(2, 2), "target.place", "is 2 bytes further; expected 0$")  # it overwrites the third

    def test_returns_that_must_not_be_probed(self, installation):
        installation.build("int other(void) { return 1; }\nint _setjmp(void *where) { return where != 0; }\n")
        offsets = {each.name: each.offset for each in elf_functions(installation.library)}

        def plan(name, returns):
            function = Function("other", "other", "POSIX", offset=offsets[name], returns=returns)
            groups = (Group("posix", "libc", Attach.UPROBE, installation.target(), (function,)),)
            return installation.plan(groups=groups, snippets=())

        assert sign(installation, plan("other", Returns.PROBED))
        assert sign(installation, plan("_setjmp", Returns.TWICE))
        denied(
            installation, plan("_setjmp", Returns.PROBED), "target.place", "the returns of the function at .* must not"
        )

    def test_a_semaphore_that_is_no_semaphore(self, installation):
        function = Function("p", "a:b", "POSIX", offset=installation.offsets()[0], semaphore=64)
        group = Group("posix", "x", Attach.USDT, installation.target(), (function,))
        denied(installation, installation.plan(groups=(group,), snippets=()), "target.place", "not the start")

    @pytest.mark.parametrize("key", ["more_places", "return_places"])
    @pytest.mark.parametrize("place", [UsdtPlace(65), UsdtPlace(0, 64)], ids=["offset", "semaphore"])
    def test_each_place_of_a_usdt_probe_is_looked_at(self, installation, key, place):
        offset = installation.offsets()[0]
        further = replace(place, offset=place.offset or offset)
        function = Function("p", "a:b", "POSIX", offset=offset, **{key: (further,)})
        group = Group("posix", "x", Attach.USDT, installation.target(), (function,))
        denied(installation, installation.plan(groups=(group,), snippets=()), "target.place", "not the start")

    def test_a_file_that_everybody_may_write(self, installation):
        installation.library.chmod(0o666)
        denied(installation, installation.plan(), "target.writable", "writable by all users")

    @pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
    def test_owners(self, installation):
        os.chown(installation.library, NOBODY.uid, NOBODY.gid)
        denied(installation, installation.plan(), "target.owner", "owned by uid 65534, who is neither root nor me")
        assert sign(installation, installation.plan(), NOBODY)
        installation.policy("rules: [{users: ['*'], target_owners: [nobody]}]")
        assert sign(installation, installation.plan())

    @pytest.mark.skipif(os.geteuid() != 0, reason="asks as another user")
    def test_files_are_opened_with_the_callers_rights(self, installation):
        closed = installation.directory / "closed"
        closed.mkdir(mode=0o700)
        target = installation.target()
        hidden = closed / "lib.so"
        hidden.write_bytes(installation.library.read_bytes())
        plan = installation.plan_of(replace(target, path=str(hidden)), 4096)
        absent = installation.plan_of(replace(target, path=f"{closed}/absent.so"), 4096)
        denied(installation, plan, "target.changed", "Permission denied", NOBODY)
        denied(installation, absent, "target.changed", "Permission denied", NOBODY)

    @pytest.mark.skipif(os.geteuid() != 0, reason="others have no root to give up")
    def test_nothing_of_a_file_is_read_with_the_rights_of_root(self, installation, monkeypatch):
        """Not even its build-id: it is parsed, too."""
        monkeypatch.setattr("datacrumbs.probefile.targets.stream_build_id", lambda *_: str(os.getresuid()))
        denied(installation, installation.plan(), "target.changed", r"has \(65534, 65534, 65534\)")

    def test_usdt_probes_of_a_real_program(self, installation):
        program = Path("/usr/bin/python3.11")
        notes = subprocess.run(["readelf", "-n", program], capture_output=True, text=True, check=False).stdout
        if "stapsdt" not in notes:
            pytest.skip("this python has no USDT probes")
        location = int(notes.split("Location: ")[1].split(",")[0], 16)
        semaphore = int(notes.split("Semaphore: ")[1].split()[0], 16)
        load = {line.split()[2]: line.split()[1] for line in _loads(program)}
        function = Function(
            "gc__start",
            "python:gc__start",
            "PYTHON",
            offset=_file_offset(load, location),
            semaphore=_file_offset(load, semaphore),
        )
        group = Group("posix", "x", Attach.USDT, installation.target(program), (function,))
        assert sign(installation, installation.plan(groups=(group,), snippets=()))


def _loads(program: Path) -> list[str]:
    out = subprocess.run(["readelf", "-lW", program], capture_output=True, text=True, check=True).stdout
    return [line for line in out.splitlines() if line.split()[:1] == ["LOAD"]]


def _file_offset(load: dict[str, str], address: int) -> int:
    base = max(int(start, 16) for start in load if int(start, 16) <= address)
    return address - base + int(next(offset for start, offset in load.items() if int(start, 16) == base), 16)


class TestPrivateKey:
    @pytest.mark.parametrize("mode", [0o440, 0o444, 0o644, 0o660])
    def test_a_key_that_others_may_read(self, installation, mode):
        installation.paths.private_key.chmod(mode)
        with pytest.raises(DatacrumbsError, match=r"expected 0400|writable by others") as caught:
            open_authority(installation.paths)
        assert caught.value.exit_code == ExitCode.REFUSED

    def test_no_key(self, installation):
        installation.paths.private_key.unlink()
        with pytest.raises(DatacrumbsError, match="there is no signing key"):
            open_authority(installation.paths)

    def test_a_key_of_another_kind(self, installation):
        subprocess.run(
            ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out",
             installation.paths.private_key], check=True)  # fmt: skip
        with pytest.raises(DatacrumbsError, match="not an Ed25519 key"):
            open_authority(installation.paths)
