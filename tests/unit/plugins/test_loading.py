from __future__ import annotations

import pytest

from datacrumbs.errors import DatacrumbsError, ExitCode
from datacrumbs.plugins import Providers, load_providers
from datacrumbs.provider import Attach, Cost, Host, Layer, ProbeTarget, Target

HOST = Host("6.1.0", "x86_64")
TARGET = ProbeTarget(Target("/usr/lib/libx.so", "ab" * 10), Attach.UPROBE, "libx")


def load(*names: str) -> Providers:
    return load_providers(only=names)


def failure(*names: str) -> DatacrumbsError:
    with pytest.raises(DatacrumbsError) as caught:
        load(*names)
    assert caught.value.exit_code == ExitCode.USAGE
    return caught.value


def test_a_provider_is_asked_through_typed_methods(install):
    install(
        "alpha",
        """
        @hookimpl
        def datacrumbs_targets(host, options):
            yield ProbeTarget(Target("/usr/lib/libx.so", "ab" * 10), Attach.UPROBE, host.release)

        @hookimpl
        def datacrumbs_functions(target, options):
            return [Function("open", "open64", "POSIX", offset=16)]

        @hookimpl
        def datacrumbs_presets():
            return [Preset("all", "everything", Cost.HIGH)]

        @hookimpl
        def datacrumbs_snippets():
            return [Snippet(name="s", text="static void dc_alpha_s_entry(struct dc_call *call) {}")]

        @hookimpl
        def datacrumbs_checks(host):
            return [Check("alpha", CheckState.OK, "fine")]
        """,
    )
    providers = load("alpha")
    assert providers.names == ("alpha",)
    assert providers.describe("alpha").distribution == "datacrumbs-alpha"
    (target,) = providers.targets("alpha", HOST, {})
    assert target.label == "6.1.0"
    assert [function.symbol for function in providers.functions("alpha", target, {})] == ["open64"]
    assert [preset.cost for preset in providers.presets("alpha")] == [Cost.HIGH]
    assert [snippet.name for snippet in providers.snippets("alpha")] == ["s"]
    assert [check.detail for check in providers.checks("alpha", HOST)] == ["fine"]


def test_hooks_that_a_provider_leaves_out_give_nothing(install):
    install("alpha")
    providers = load("alpha")
    assert providers.targets("alpha", HOST, {}) == ()
    assert providers.functions("alpha", TARGET, {}) == ()
    assert providers.snippets("alpha") == providers.presets("alpha") == providers.checks("alpha", HOST) == ()


def test_each_provider_is_asked_alone(install):
    for name in ("alpha", "beta"):
        install(name, f"@hookimpl\ndef datacrumbs_checks(host):\n    return [Check('{name}', CheckState.OK, '')]\n")
    providers = load("alpha", "beta")
    assert [check.name for check in providers.checks("beta", HOST)] == ["beta"]


def test_an_import_failure_names_the_distribution_and_the_way_on(install):
    install("broken", "import no_such_module_at_all\n", distribution="site-broken")
    install("alpha")
    error = failure("alpha", "broken")
    assert "'broken' of site-broken cannot be imported: ModuleNotFoundError" in error.message
    assert "--without broken" in error.hint
    assert "broken" not in load_providers(without=["broken"], only=["alpha", "broken"])


def test_a_provider_that_exits_while_imported_does_not_get_past_as_success(install):
    install("broken", "raise RuntimeError('no libfoo')\n")
    assert "RuntimeError: no libfoo" in failure("broken").message


def test_two_providers_of_one_name_name_both_distributions(install):
    install("twin", distribution="first-twin")
    install("twin", distribution="second-twin")
    error = failure("twin")
    assert "first-twin and second-twin" in error.message


@pytest.mark.parametrize("option", ["only", "without"])
def test_a_name_that_is_not_installed_gets_a_suggestion(install, option):
    install("alphabet")
    with pytest.raises(DatacrumbsError, match="did you mean 'alphabet'") as caught:
        load_providers(**{option: ["alphabte"]})
    assert "alphabet" in caught.value.hint


def test_a_hook_that_does_not_exist_is_an_error(install):
    install("alpha", "@hookimpl\ndef datacrumbs_tragets(host, options):\n    return []\n")
    error = failure("alpha")
    assert "datacrumbs_tragets" in error.message
    assert "datacrumbs-alpha" in error.message


def test_a_hook_with_an_unknown_argument_is_an_error(install):
    install("alpha", "@hookimpl\ndef datacrumbs_checks(hots):\n    return []\n")
    assert "datacrumbs-alpha" in failure("alpha").message


def test_the_description_is_required(install):
    install("alpha", "from datacrumbs.provider import hookimpl\n", whole=True)
    assert "datacrumbs_provider is missing" in failure("alpha").message


def test_name_distribution_and_version_are_those_that_are_installed(install):
    install("alpha", distribution="site-alpha")
    described = load("alpha").describe("alpha")
    assert (described.name, described.distribution, described.version) == ("alpha", "site-alpha", "1.0")
    assert (described.described.layer, described.described.layer.position) == (Layer.DATA_FORMAT, 20)


def test_snippets_have_the_name_of_their_provider(install):
    text = "/* x */ dc_alpha_one_entry("
    install("alpha", f"@hookimpl\ndef datacrumbs_snippets():\n    return [Snippet(name='one', text='{text}')]\n")
    (snippet,) = load("alpha").snippets("alpha")
    assert snippet.provider == "alpha"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return 7", "datacrumbs_targets returned int; expected ProbeTarget items"),
        ("return 'text'", "datacrumbs_targets returned str; expected ProbeTarget items"),
        ("return [1]", "datacrumbs_targets returned a int item; expected ProbeTarget"),
        ("raise KeyError('x')", "datacrumbs_targets failed: KeyError: 'x'"),
        ("yield 1 / 0", "datacrumbs_targets failed: ZeroDivisionError"),
        (
            "return [ProbeTarget(Target('lib.so', 'ab'), Attach.UPROBE, 'x')]",
            "datacrumbs_targets broke the contract: x: path: 'lib.so' is not allowed; expected an absolute path",
        ),
    ],
)
def test_what_a_hook_returns_is_checked_and_its_distribution_named(install, body, words):
    install("alpha", f"@hookimpl\ndef datacrumbs_targets(host, options):\n    {body}\n")
    with pytest.raises(DatacrumbsError) as caught:
        load("alpha").targets("alpha", HOST, {})
    assert f"provider 'alpha' of datacrumbs-alpha: {words}" in caught.value.message
    assert "--without alpha" in caught.value.hint


def test_an_error_that_a_provider_words_itself_passes_unchanged(install):
    install(
        "alpha",
        """
        from datacrumbs.errors import usage_error
        @hookimpl
        def datacrumbs_targets(host, options):
            raise usage_error("the option libc names no file", "name one")
        """,
    )
    with pytest.raises(DatacrumbsError, match=r"^the option libc names no file$"):
        load("alpha").targets("alpha", HOST, {})


def test_hook_calls_can_be_traced(install, monkeypatch, capsys):
    monkeypatch.setenv("DATACRUMBS_TRACE_HOOKS", "1")
    install("alpha", "@hookimpl\ndef datacrumbs_checks(host):\n    raise KeyError('why')\n")
    with pytest.raises(DatacrumbsError):
        load("alpha").checks("alpha", HOST)
    traced = capsys.readouterr().err
    assert "hook datacrumbs_provider() of alpha" in traced
    assert "hook datacrumbs_checks(host=Host(" in traced
    assert "Traceback" in traced
    assert "KeyError: 'why'" in traced


def test_hook_calls_are_silent_by_default(install, monkeypatch, capsys):
    monkeypatch.delenv("DATACRUMBS_TRACE_HOOKS", raising=False)
    install("alpha")
    load("alpha")
    assert capsys.readouterr().err == ""
