"""Manual pages and completions, read by the programs that read them."""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path

import pytest

from datacrumbs.commands._registry import COMMANDS, command_named

REPOSITORY = Path(__file__).resolve().parents[3]
SHARED = REPOSITORY / "share"
PAGES = sorted(SHARED.glob("man/man*/*"))
BASH = sorted((SHARED / "bash-completion/completions").iterdir())
NAMES = {*(command_named(name).program for name in COMMANDS), "datacrumbs_wrap"}

# Prints what a Tab at the end of the words gives; what `compopt` would change needs a real Tab.
TAB = """
compopt() { :; }
[[ -z $2 ]] || source "$2"
source "$1"
shift 2
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE=$* COMP_POINT=${#COMP_LINE} COMP_TYPE=9
function=$(complete -p "$1") function=${function#*-F } function=${function%% *}
"$function" "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def output(*words, **options):
    done = subprocess.run(list(map(str, words)), check=False, capture_output=True, text=True, timeout=300, **options)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


def test_every_command_has_each():
    assert {page.stem for page in PAGES} == NAMES
    assert {file.name for file in BASH} == NAMES
    assert {file.name for file in (SHARED / "zsh/site-functions").iterdir()} == {f"_{name}" for name in NAMES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_is_clean(page):
    assert output("mandoc", "-T", "lint", "-W", "warning", page) == ""
    assert output("groff", "-ww", "-man", "-Tutf8", page)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_is_found_by_its_summary(page):
    found = output("lexgrog", page)
    assert f'"{page.stem} - ' in found


def test_what_a_page_says():
    page = output("mandoc", "-T", "ascii", SHARED / "man/man1/datacrumbs_report.1")
    text = output("col", "-b", input=page)
    for word in ("--since TIME", "EXIT STATUS", "refused for security", "datacrumbs_wrap"):
        assert word in text


def tab(line, directory, other=""):
    words = line.split(" ")
    file = SHARED / "bash-completion/completions" / words[0]
    done = output("bash", "--norc", "-c", TAB, "bash", file, other, *words, cwd=directory)
    return sorted(filter(None, done.split("\n")))


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "trace.pfw.gz").touch()
    (tmp_path / "traces").mkdir()
    return tmp_path


VIEWS = ["channel", "directory", "error", "file", "filesystem", "function", "layer", "node", "pattern", "process"]
VIEWS += ["rank", "series", "size", "time"]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("datacrumbs_report --by ", VIEWS),
        ("datacrumbs_report --by f", ["file", "filesystem", "function"]),
        ("datacrumbs_report --by = f", ["file", "filesystem", "function"]),
        ("datacrumbs_report --by =", VIEWS),
        ("datacrumbs_report --pid ", []),
        ("datacrumbs_report --js", ["--json"]),
        ("datacrumbs_report tr", ["trace.pfw.gz", "traces"]),
        ("datacrumbs_report --json trace", ["trace.pfw.gz", "traces"]),
        ("datacrumbs_setup --prefix t", ["traces"]),
        ("datacrumbs_setup --stage ", ["all", "compute", "login", "relay"]),
        ("datacrumbs_setup --trust-key t", ["trace.pfw.gz", "traces"]),
        ("datacrumbs_trust re", ["remove", "restore", "revoke"]),
        ("datacrumbs_trust --json ver", ["verify", "verify-seal"]),
        ("datacrumbs_trust revoke --pl", ["--plan"]),
        ("datacrumbs_trust verify --pl", []),
        ("datacrumbs_trust add --key tr", ["trace.pfw.gz", "traces"]),
        ("datacrumbs_trust verify-seal t", ["trace.pfw.gz", "traces"]),
        ("datacrumbs rec", ["record"]),
        ("datacrumbs tr", ["trace.pfw.gz", "traces", "track", "trust"]),
        ("datacrumbs ./t", ["./trace.pfw.gz", "./traces"]),
        ("datacrumbs help rec", ["record"]),
        ("datacrumbs report --by f", ["file", "filesystem", "function"]),
        ("datacrumbs report tr", ["trace.pfw.gz", "traces"]),
        ("datacrumbs trust re", ["remove", "restore", "revoke"]),
        ("datacrumbs probes ch", ["check"]),
        ("datacrumbs probes --ch", ["--check"]),
        ("datacrumbs run --no", ["--no-preload", "--node-list"]),
        ("datacrumbs run --node-list n --log", ["--login"]),
        ("datacrumbs record --mode profile -- dd t", ["trace.pfw.gz", "traces"]),
        ("datacrumbs_wrap --no", ["--no-preload"]),
        ("datacrumbs_wrap --run-id 7 dd i", []),
        ("datacrumbs_wrap dd t", ["trace.pfw.gz", "traces"]),
        ("datacrumbs_record --mode ", ["profile", "trace"]),
        ("datacrumbs_record --mode profile -- dd t", ["trace.pfw.gz", "traces"]),
    ],
)
def test_bash_offers(directory, line, offered):
    assert tab(line, directory) == offered


@pytest.mark.parametrize("start", ["datacrumbs_wrap", "datacrumbs_record --mode trace --"])
def test_bash_offers_commands_and_then_what_they_take(directory, start):
    assert "chmod" in tab(f"{start} chmo", directory)
    other = directory / "other"
    other.write_text("source /usr/share/bash-completion/bash_completion\ncomplete -W 'alpha beta' chmod\n")
    assert tab(f"{start} chmod al", directory, other) == ["alpha"]


def test_zsh_finds_a_function_for_each(tmp_path):
    program = (
        f"fpath=({SHARED / 'zsh/site-functions'} $fpath); autoload -Uz compinit; compinit -u -d {tmp_path / 'dump'};"
        "for name in ${(k)_comps}; do [[ $name == datacrumbs* ]] && print $name $_comps[$name]; done; true"
    )
    found = dict(line.split() for line in output("zsh", "-f", "-c", program).splitlines())
    assert found == {name: f"_{name}" for name in NAMES}


# In a terminal of its own, since completion works in nothing else.
ZSH = """
zmodload zsh/zpty
zpty -b shell zsh -f -i
until_seen() {
    local text
    for _ in {1..20000}; do
        zpty -r -t shell text && seen+=$text || sleep 0.01
        [[ $seen == *$1* ]] && return
    done
    print -r -- "$seen"
    exit 1
}
zpty -w shell "stty columns 200; PS1=; cd $1; fpath=($2 \\$fpath)"
zpty -w shell "autoload -Uz compinit; compinit -u -d $1/dump; print be''gun"
until_seen begun
seen=
zpty -w -n shell "$3"$'\\t'
until_seen "$4"
"""


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        ("datacrumbs_report --by ", "channel"),
        ("datacrumbs_report --lim", "--limit"),
        ("datacrumbs_trust ver", "verify"),
        ("datacrumbs re", "Show what traces contain"),
        ("datacrumbs report --lim", "--limit"),
        ("datacrumbs_trust revoke --pl", "--plan"),
        ("datacrumbs_setup --stage co", "compute"),
    ],
)
def test_zsh_offers(directory, line, seen):
    output("zsh", "-f", "-c", ZSH, "zsh", directory, SHARED / "zsh/site-functions", line, seen)


@pytest.mark.parametrize(
    ("shell", "program"),
    [
        ("bash", 'source "$0"; complete -p | grep -o "datacrumbs[a-z_]*$" | sort'),
        ("zsh", 'autoload -Uz compinit; compinit -u -D; source "$0"; print -l ${(ok)_comps[(I)datacrumbs*]}'),
    ],
)
def test_all_of_them_as_one_script(shell, program, tmp_path):
    script = tmp_path / "script"
    script.write_text(output(Path(sysconfig.get_path("scripts"), "datacrumbs"), "completion", shell))
    quiet = "--norc" if shell == "bash" else "-f"
    assert output(shell, quiet, "-c", program, script).split() == sorted(NAMES)
