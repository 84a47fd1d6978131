from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import datacrumbs


def run(*words, **options):
    options = {"capture_output": True, "text": True, "timeout": 300} | options
    return subprocess.run([str(word) for word in words], check=False, **options)


def preload_of(*words, env):
    done = run(*words, "env", env=env)
    return [line.partition("=")[2] for line in done.stdout.splitlines() if line.startswith("LD_PRELOAD=")]


@pytest.mark.parametrize(("compiler", "flags"), [("cc", ()), ("cc", ("-static",)), ("musl-gcc", ())])
def test_arguments_signals_descriptors_and_environment_are_as_without_it(wrap, compiled, environment, compiler, flags):
    program = compiled(compiler, "reporter", *flags)

    def change_dispositions():
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})

    read, write = os.pipe()
    try:
        options = {"env": environment, "preexec_fn": change_dispositions, "pass_fds": (read,)}
        arguments = ("a b", "", "--help", "--", "$(x)")
        bare = run(program, *arguments, **options)
        wrapped = run(wrap, program, *arguments, **options)
    finally:
        os.close(read)
        os.close(write)
    assert wrapped.stdout == bare.stdout
    assert wrapped.stderr == bare.stderr == ""
    assert wrapped.returncode == bare.returncode == 23
    assert f"descriptor {read}\n" in wrapped.stdout
    assert "signal 10 ignored 1" in wrapped.stdout


def test_wrapped_output_is_not_corrupted(wrap, tmp_path):
    source, target = tmp_path / "f", tmp_path / "g"
    source.write_bytes(os.urandom(100_003))
    with target.open("wb") as output:
        done = run(wrap, "cat", source, stdout=output, stderr=subprocess.PIPE, capture_output=False, text=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert target.read_bytes() == source.read_bytes()


def test_input_reaches_the_command(wrap):
    assert run(wrap, "cat", input="some input\n").stdout == "some input\n"


def test_death_by_signal_is_passed_on(wrap):
    assert run(wrap, "sh", "-c", "kill -KILL $$").returncode == -signal.SIGKILL


def test_the_process_is_the_command_itself(wrap):
    process = subprocess.Popen([wrap, "sh", "-c", "echo $$"], stdout=subprocess.PIPE, text=True)
    assert process.communicate()[0] == f"{process.pid}\n"


def test_library_comes_first_and_keeps_what_was_preloaded(wrap, library, environment):
    assert preload_of(wrap, env=environment) == [str(library)]
    assert preload_of(wrap, env=environment | {"LD_PRELOAD": ""}) == [str(library)]
    for other in ("libm.so.6", "libm.so.6:librt.so.1", "libm.so.6 librt.so.1"):
        assert preload_of(wrap, env=environment | {"LD_PRELOAD": other}) == [f"{library}:{other}"]


def test_library_is_not_preloaded_twice(wrap, library, environment):
    assert preload_of(wrap, wrap, env=environment) == [str(library)]
    for before in (f"libm.so.6:{library}", f"libm.so.6 {library}", f"{library}"):
        assert preload_of(wrap, env=environment | {"LD_PRELOAD": before}) == [before]
    longer = f"{library}.other"
    assert preload_of(wrap, env=environment | {"LD_PRELOAD": longer})[0].startswith(f"{library}:")


def test_library_is_loaded_by_glibc_and_musl_programs(wrap, library, compiled, environment):
    command = ["/bin/cat", "/proc/self/maps"]
    assert str(library) in run(wrap, *command, env=environment).stdout
    # musl's loader tells on stderr when it cannot load what is preloaded.
    musl = run(wrap, compiled("musl-gcc", "reporter"), env=environment)
    assert (musl.returncode, musl.stderr) == (23, "")


def test_options_end_before_the_command(wrap):
    for words in ((), ("--",)):
        assert run(wrap, *words, "printf", "%s ", "--version", "--", "--help").stdout == "--version -- --help "


def test_help_and_version_go_to_stdout(wrap):
    assert run(wrap, "--version").stdout == f"datacrumbs_wrap {datacrumbs.__version__}\n"
    done = run(wrap, "--help")
    assert done.returncode == 0
    assert "example:" in done.stdout
    assert not done.stderr


@pytest.mark.parametrize("words", [(), ("--",), ("--unknown", "true"), ("-x",)])
def test_wrong_usage_exits_2(wrap, words):
    done = run(wrap, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: datacrumbs_wrap" in done.stderr


def test_what_cannot_be_executed_exits_as_env_does(wrap, tmp_path):
    plain = tmp_path / "plain"
    plain.write_text("x")
    missing = tmp_path / "missing"
    for command, status in ((missing, 127), ("no-such-command-here", 127), (plain, 126), (tmp_path, 126)):
        done = run(wrap, command)
        assert done.returncode == status == run("env", command).returncode
        assert done.stdout == ""
        assert done.stderr.count("\n") == 1
        assert str(command) in done.stderr


def test_the_message_says_what_is_missing(wrap, tmp_path):
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    assert run(wrap, script).stderr == f"datacrumbs_wrap: {script}: its interpreter was not found\n"
    assert run(wrap, "no-such-command-here").stderr == "datacrumbs_wrap: no-such-command-here: command not found\n"


def test_a_script_without_interpreter_line_runs_as_by_env(wrap, tmp_path):
    script = tmp_path / "script"
    script.write_text("echo ran $1\n")
    script.chmod(0o755)
    assert run(wrap, script, "it").stdout == "ran it\n"


@pytest.fixture
def installation(wrap, library, tmp_path):
    """Gives a function that makes another installation: the launcher and the library below a prefix."""

    def make(prefix, *, lib="lib"):
        (tmp_path / prefix / "bin").mkdir(parents=True)
        (tmp_path / prefix / lib / "datacrumbs").mkdir(parents=True)
        copy = shutil.copy2(library, tmp_path / prefix / lib / "datacrumbs")
        return Path(shutil.copy2(wrap, tmp_path / prefix / "bin")), Path(copy)

    return make


@pytest.mark.parametrize("lib", ["lib", "lib64"])
def test_library_is_found_beside_the_launcher(installation, environment, tmp_path, lib):
    launcher, library = installation("usr", lib=lib)
    assert preload_of(launcher, env=environment) == [str(library)]
    link = tmp_path / "link"
    link.symlink_to(launcher)
    assert preload_of(link, env=environment) == [str(library)]
    path = f"{launcher.parent}:{environment['PATH']}"
    assert preload_of("env", f"PATH={path}", "datacrumbs_wrap", env=environment) == [str(library)]


def test_a_library_that_a_distribution_has_renamed_is_found(installation, environment, tmp_path):
    launcher, library = installation("usr")
    renamed = library.rename(library.with_name("libdatacrumbs_client.cpython-311-x86_64-linux-gnu.so"))
    library.with_name("libdatacrumbs_client.so.1").touch()
    library.with_name("other.so").touch()
    assert preload_of(launcher, env=environment) == [str(renamed)]
    program = Path(shutil.copy(shutil.which("env"), tmp_path / "chroot"))
    done = run(program, env=environment | {"LD_PRELOAD": f"{renamed}:libm.so.6"})
    assert ("LD_PRELOAD=libm.so.6\n" in done.stdout, done.stderr) == (True, "")


def test_a_command_that_must_be_recorded_is_not_run_without_the_library_or_a_run(installation, environment, tmp_path):
    launcher, library = installation("usr")
    made = tmp_path / "made"
    named = ("--run-id", f"none-{os.getpid()}", "--require")  # others may trace here what names no run
    done = run(launcher, *named, "touch", made, env=environment)
    assert (done.returncode, done.stdout) == (125, "")
    assert done.stderr == "datacrumbs_wrap: no run would record the command; it was not run\n"
    library.unlink()
    done = run(launcher, *named, "touch", made, env=environment)
    assert done.returncode == 125
    assert "libdatacrumbs_client.so is not where this program looks for it" in done.stderr
    assert not made.exists()


def test_either_a_process_or_a_command(wrap):
    done = run(wrap, "--pid", "1", "true")
    assert (done.returncode, done.stdout) == (2, "")
    assert "either --pid or a command: true" in done.stderr
    assert run(wrap, "--pid").returncode == 2


@pytest.mark.parametrize("prefix", ["with blank", "with:colon"])
def test_a_path_that_cannot_be_preloaded_is_told_and_the_command_runs(installation, environment, prefix):
    launcher, _ = installation(prefix)
    done = run(launcher, "env", env=environment)
    assert done.returncode == 0
    assert "LD_PRELOAD=" not in done.stdout
    assert "continuing without it" in done.stderr
    assert done.stderr.count("\n") == 1


def test_where_the_library_is_missing_nothing_is_said_and_the_command_runs(installation, environment):
    launcher, library = installation("usr")
    library.unlink()
    done = run(launcher, "echo", "ran", env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ran\n", "")
    assert preload_of(launcher, env=environment) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="runs as another user")
def test_a_library_that_the_user_cannot_read_is_not_preloaded(installation, environment, tmp_path):
    launcher, library = installation("usr")
    library.chmod(0o600)
    for directory in (tmp_path, *tmp_path.parents[:2]):  # pytest's, closed to others
        directory.chmod(0o755)
    done = run(launcher, "echo", "ran", env=environment, user=65534, group=65534, extra_groups=[])
    assert (done.returncode, done.stdout, done.stderr) == (0, "ran\n", "")


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="32-bit programs of x86-64")
def test_a_program_of_another_kind_of_machine_is_not_asked_to_load_the_library(wrap, compiled, environment):
    program = compiled("cc", "foreign", "-m32", "-nostdlib", "-static", "-ffreestanding", "-fno-pie", "-no-pie")
    done = run(wrap, program, env=environment)
    assert (done.returncode, done.stderr) == (23, "")
    by_name = environment | {"PATH": f"{program.parent}:{environment['PATH']}"}
    assert run(wrap, program.name, env=by_name).returncode == 23


def test_no_preload_leaves_the_variable_alone(wrap, environment):
    assert preload_of(wrap, "--no-preload", env=environment) == []
    assert preload_of(wrap, "--no-preload", "--", env=environment | {"LD_PRELOAD": "libm.so.6"}) == ["libm.so.6"]


@pytest.mark.parametrize("name", ["chroot", "unshare", "apptainer"])
def test_programs_that_change_the_root_pass_the_library_on_to_nothing(wrap, library, environment, tmp_path, name):
    program = Path(shutil.copy(shutil.which("env"), tmp_path / name))
    assert run(wrap, program, env=environment).stdout.count("LD_PRELOAD") == 0
    for before, after in (
        (f"{library}", ""),
        (f"libm.so.6:{library}", "libm.so.6"),
        (f"{library} libm.so.6", "libm.so.6"),
        (f"libm.so.6:{library}:librt.so.1", "libm.so.6:librt.so.1"),
    ):
        done = run(program, env=environment | {"LD_PRELOAD": before})
        assert f"LD_PRELOAD={after}\n" in done.stdout
        assert done.stderr == ""


def test_full_output_is_an_error(wrap):
    with open("/dev/full", "w") as full:
        assert run(wrap, "--help", stdout=full, stderr=None, capture_output=False).returncode == 1


def test_python_programs_see_their_own_environment(wrap, environment, library):
    program = "import json, os; print(json.dumps(dict(os.environ)))"
    seen = json.loads(run(wrap, sys.executable, "-c", program, env=environment).stdout)
    assert seen.pop("LD_PRELOAD") == str(library)
    bare = json.loads(run(sys.executable, "-c", program, env=environment).stdout)
    assert seen == bare


def test_a_run_id_is_handed_on_in_the_environment(wrap, environment):
    done = run(wrap, "--run-id", "my-run.1", "env", env=environment)
    assert "DATACRUMBS_RUN_ID=my-run.1\n" in done.stdout
    done = run(wrap, "--no-preload", "--run-id=my-run.2", "--", "env", env={**environment, "DATACRUMBS_RUN_ID": "x"})
    assert "DATACRUMBS_RUN_ID=my-run.2\n" in done.stdout
    assert "DATACRUMBS_RUN_ID" not in run(wrap, "env", env=environment).stdout


@pytest.mark.parametrize("name", ["", "-x", ".x", "a/b", "a b", "x" * 65, "\x1b[31m", "h\u00f6"])
def test_what_is_no_run_id_is_refused(wrap, name):
    done = run(wrap, f"--run-id={name}", "touch", "/nonexistent/file")
    assert done.returncode == 2
    assert "--run-id: " in done.stderr
    assert "expected 1 to 64 letters, digits, `.`, `-` and `_`" in done.stderr
    assert "\x1b" not in done.stderr


def test_a_run_id_that_is_missing_is_a_mistake(wrap):
    assert run(wrap, "--run-id").returncode == run(wrap, "--run-id", "x").returncode == 2
