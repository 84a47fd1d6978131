from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from datacrumbs.errors import DatacrumbsError, ExitCode
from datacrumbs.model.plan import (
    Argument,
    Attach,
    Filters,
    Function,
    Group,
    Plan,
    Provenance,
    Result,
    Returns,
    Role,
    Snippet,
    Target,
    UsdtPlace,
)
from datacrumbs.model.problems import argument_problems
from datacrumbs.probefile import codec
from datacrumbs.probefile.codec import decode, digest, encode, function_problem

labels = st.from_regex(r"[a-z][a-z0-9_]{0,10}", fullmatch=True)
symbols = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.$@]{0,20}", fullmatch=True)
ctypes = st.sampled_from(["int", "const char *", "size_t", "struct stat *", "void (*)(int)", "std::vector<int> &"])


@st.composite
def arguments(draw, most, roles=tuple(Role), in_order=False):
    chosen = draw(st.lists(labels, max_size=most, unique=True))
    made = tuple(
        Argument(
            position if in_order else draw(st.integers(0, 5)),
            label,
            draw(ctypes),
            draw(st.sampled_from(roles)),
            draw(st.sampled_from([1, 2, 4, 8])),
            draw(st.booleans()),
        )
        for position, label in enumerate(chosen)
    )
    assume(in_order or not list(argument_problems(made, Attach.UPROBE)))
    return made


@st.composite
def functions(draw, attach):
    places = draw(st.lists(st.integers(1, 511), min_size=1, max_size=4, unique=True))
    by_name = attach in {Attach.KPROBE, Attach.TRACEPOINT}
    pair = {Attach.USDT: ":", Attach.TRACEPOINT: ":"}.get(attach)
    result = []
    for place in places:
        symbol = f"event_{place}" if not pair else f"group{pair}event_{place}"
        usdt = attach is Attach.USDT
        result.append(
            Function(
                draw(symbols),
                symbol,
                draw(st.sampled_from(["POSIX", "STDIO", "HDF5"])),
                offset=0 if by_name else place,
                aliases=tuple(draw(st.lists(symbols, max_size=2))),
                more_places=(UsdtPlace(place + 5000, 7, "8@%rsi"),) if usdt else (),
                return_places=(UsdtPlace(place + 6000, 9),) if usdt else (),
                usdt_arguments="8@%rdi -4@$5 4@[sp, 8]" if usdt else "",
                semaphore=draw(st.integers(0, 99)) if usdt else 0,
                arguments=draw(arguments(6)),
                result=draw(st.sampled_from(list(Result))),
                returns=draw(st.sampled_from(list(Returns))),
                skip=draw(st.integers(0, 240)) if attach is Attach.UPROBE else 0,
            )
        )
    return tuple(result)


@st.composite
def plans(draw):
    groups = []
    for index, attach in enumerate(draw(st.lists(st.sampled_from(list(Attach)), min_size=1, max_size=4, unique=True))):
        user = attach in {Attach.UPROBE, Attach.USDT}
        path = draw(st.sampled_from(["/usr/lib/libc.so.6", "/home/ada/Bücher/$(x) `y`", "/a'b\"c"]))
        target = Target(f"{path}.{index}" if user else "", "ab" * 20 if user else "6.1.0-18-amd64")
        groups.append(Group("posix", "libc", attach, target, draw(functions(attach))))
    snippet = Snippet(
        name="s",
        provider="posix",
        text=draw(st.sampled_from(["int x;\n", "/* ü */\tint y;"])),
        fields=draw(fields()),
    )
    return Plan(
        (Provenance("posix", "datacrumbs-posix", "1.0", "libc", draw(st.integers(0, 99))),),
        tuple(groups),
        (snippet,),
        Filters(draw(st.integers(0, 10**9)), draw(st.sampled_from(["", "/scratch/ada"]))),
    )


def fields():
    return arguments(2, (Role.BYTES, Role.COUNT, Role.VALUE, Role.FD, Role.STRING), in_order=True)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=60)
@given(plans())
def test_round_trip(plan):
    data = encode(plan)
    assert decode(data) == plan
    assert encode(decode(data)) == data
    assert spelled(json.loads(data)) == data


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_end_in_a_clear_error(data):
    with pytest.raises(DatacrumbsError) as caught:
        decode(data)
    assert caught.value.exit_code == ExitCode.USAGE


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.data(),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    ),
)
def test_any_value_in_any_place_is_read_or_named(plan, data, value):
    document = json.loads(encode(plan))
    here, steps = document, 0
    while isinstance(here, (dict, list)) and here and steps < 8:
        key = data.draw(st.sampled_from(sorted(here) if isinstance(here, dict) else range(len(here))))
        if not isinstance(here[key], (dict, list)) or not here[key] or data.draw(st.booleans()):
            here[key] = value
            break
        here, steps = here[key], steps + 1
    changed = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    try:
        decode(changed.encode("utf-8", "surrogatepass"))
    except DatacrumbsError as error:
        assert error.message.startswith("plan")  # noqa: PT017 - some values are allowed
        assert error.message.isprintable()  # noqa: PT017


def spelled(document):
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def test_bytes_are_canonical(plan):
    data = encode(plan)
    assert data == spelled(json.loads(data))
    assert digest(data) == digest(encode(decode(data)))


@pytest.mark.parametrize("spoil", [lambda d: d + b"\n", lambda d: d.replace(b'":', b'": ', 1)])
def test_other_spellings_are_refused(plan, spoil):
    with pytest.raises(DatacrumbsError, match="not in canonical form"):
        decode(spoil(encode(plan)))


def test_a_key_that_appears_twice_is_refused(plan):
    with pytest.raises(DatacrumbsError, match="twice in one object"):
        decode(encode(plan).replace(b'{"filters"', b'{"filters":0,"filters"', 1))


def test_deep_nesting_is_refused():
    with pytest.raises(DatacrumbsError, match="not valid JSON"):
        decode(b"[" * 100_000)


def test_nesting_of_any_depth_is_refused_in_words(plan):
    # Some depths can be read, but not shown again.
    for depth in (*range(900, 1000), 2_500):
        value = b"[" * depth + b"]" * depth
        with pytest.raises(DatacrumbsError, match=r"not valid JSON|nested more deeply|expected"):
            decode(encode(plan).replace(b'"providers":[', b'"providers":[' + value + b",", 1))


@pytest.mark.parametrize("key", ["offset", "skip", "semaphore"])
def test_numbers_with_equal_hashes_cost_no_more_than_others(plan, key, monkeypatch):
    """A table of them would look at each one for each that is put in."""
    document = json.loads(encode(plan))
    functions = document["groups"][0]["functions"]
    functions[:] = [{**functions[0], key: 1 + number * sys.hash_info.modulus} for number in range(211)]
    steps = []

    class Table(type):
        def __instancecheck__(cls, value):
            return isinstance(value, dict)

        def __call__(cls, *entries):
            made = dict(*entries)
            steps.extend(number * (number - 1) // 2 for number in Counter(map(hash, made)).values())
            return made

    monkeypatch.setattr(codec, "dict", Table("dict", (), {}), raising=False)
    with pytest.raises(DatacrumbsError, match=key):
        decode(spelled(document))
    assert sum(steps) < 211


def test_a_name_that_is_not_unicode_is_refused(plan):
    group = replace(plan.groups[0], target=Target("/opt/\udcff", "ab" * 20))
    with pytest.raises(DatacrumbsError, match="not Unicode text"):
        encode(replace(plan, groups=(group,)))


# (path of keys, value, what the message names)
WRONG = [
    (("format",), "datacrumbs-plan/x", r"format: 'datacrumbs-plan/x'"),
    (("format",), "datacrumbs-plan/99", r"format: datacrumbs-plan/99 is newer than datacrumbs-plan/\d"),
    (("format",), "datacrumbs-plan/1", r"format: datacrumbs-plan/1 was made by an earlier version"),
    (("providers",), [], r"providers: 0 elements; expected 1 to 64"),
    (("groups",), [], r"groups: 0 elements"),
    (("groups", 0, "functions"), [], r"groups\[0\].functions: 0 elements"),
    (("groups", 0, "provider"), "zlib", r"groups\[0\].provider: 'zlib'.*a provider of this plan"),
    (("groups", 0, "attach"), "ptrace", r"groups\[0\].attach: 'ptrace'.*one of kprobe"),
    (("groups", 0, "target", "path"), "lib/x.so", r"groups\[0\].target.path: 'lib/x.so'.*absolute"),
    (("groups", 0, "target", "path"), "/lib/../etc/x", r"groups\[0\].target.path"),
    (("groups", 0, "target", "path"), "/lib/x\ny", r"groups\[0\].target.path: '/lib/x\\ny'"),
    (("groups", 0, "target", "path"), "/" + "x" * 5000, "4095 bytes"),
    (("groups", 0, "target", "path"), "", r"groups\[0\].target.path"),
    (("groups", 1, "target", "path"), "/lib/x", r"groups\[1\].target.path.*the kernel"),
    (("groups", 0, "target", "build_id"), "XYZ", r"build_id: 'XYZ'"),
    (("groups", 0, "functions", 0, "offset"), -1, r"groups\[0\].functions\[0\].offset: -1.*from 1 to"),
    (("groups", 0, "functions", 0, "offset"), True, r"offset: True"),
    (("groups", 0, "functions", 0, "offset"), 1.5, r"offset: 1.5"),
    (("groups", 0, "functions", 0, "offset"), 128, r"functions\[1\]: 128 is probed twice"),
    (("groups", 0, "functions", 0, "name"), 'x"; system("', r"name: "),
    (("groups", 0, "functions", 0, "name"), "x*/y", r"name: 'x\*/y'"),
    (("groups", 0, "functions", 0, "symbol"), "$(id) ", r"symbol: "),
    (("groups", 0, "functions", 0, "category"), "PO\nSIX", r"category: 'PO\\nSIX'"),
    (("groups", 0, "functions", 0, "snippet"), "nothing", r"snippet: 'nothing'.*a snippet of this provider"),
    (("groups", 0, "functions", 0, "semaphore"), 8, r"semaphore: 8"),
    (("groups", 0, "functions", 0, "usdt_arguments"), "8@%rdi", r"usdt_arguments"),
    (("groups", 0, "functions", 0, "more_places"), [7], r"more_places: 1 element;"),
    (("groups", 0, "functions", 0, "result"), "maybe", r"result: 'maybe'"),
    (("groups", 0, "functions", 0, "skip"), 241, r"skip: 241.*from 0 to 240"),
    (("groups", 1, "functions", 0, "skip"), 1, r"skip: 1.*expected 0"),
    (("groups", 0, "functions", 0, "returns"), "maybe", r"returns: 'maybe'.*one of caller"),
    (("groups", 0, "functions", 0, "arguments", 0, "size"), 3, r"arguments\[0\].size: 3.*1, 2, 4 or 8"),
    (("groups", 0, "functions", 0, "arguments", 0, "label"), "Fd", r"label: 'Fd'"),
    (("groups", 0, "functions", 0, "arguments", 0, "label"), "count", r"count is an argument and a field"),
    (("groups", 0, "functions", 0, "arguments", 0, "ctype"), "int; evil", r"ctype"),
    (("groups", 0, "functions", 0, "arguments", 0, "index"), 99, r"index: 99.*from 0 to 5"),
    (("groups", 1, "functions", 0, "arguments"), [{}] * 7, r"arguments: 7 elements; expected 0 to 6"),
    (("groups", 1, "functions", 0, "symbol"), "../../x", r"symbol"),
    (("groups", 1, "functions", 0, "offset"), 1 << 20, r"offset: 1048576.*from 0 to 511"),
    (("snippets", 0, "name"), "a-b", r"snippets\[0\].name"),
    (("snippets", 0, "provider"), "other", r"snippets\[0\].provider"),
    (("snippets", 0, "text"), "int x;\x00", r"snippets\[0\].text"),
    (("snippets", 0, "text"), "x" * 70000, r"snippets\[0\].text"),
    (("snippets", 0, "fields", 0, "index"), 1, r"fields\[0\].index: 1.*0, its place"),
    (("snippets", 0, "fields", 0, "role"), "path", r"fields\[0\].role"),
    (("filters", "minimum_duration_ns"), -5, r"filters.minimum_duration_ns: -5"),
    (("filters", "inclusion_path"), "x", r"filters.inclusion_path: 'x'"),
    (("providers", 1, "name"), "posix", r"providers\[1\].name: posix appears twice"),
    (("surprise",), 1, r"'surprise': unknown key"),
]


@pytest.mark.parametrize(("keys", "value", "message"), WRONG, ids=[f"{w[0][-1]}-{i}" for i, w in enumerate(WRONG)])
def test_what_the_schema_forbids_is_named(plan, keys, value, message):
    document = json.loads(encode(plan))
    here = document
    for key in keys[:-1]:
        here = here[key]
    here[keys[-1]] = value
    with pytest.raises(DatacrumbsError, match=message) as caught:
        decode(json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode())
    assert caught.value.exit_code == ExitCode.USAGE


# Functions that are alike are read once; what compares equal in Python need not be alike.
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda function: function.update(skip=True), r"functions\[3\].skip: True"),
        (lambda function: function.update(skip=1.0), r"functions\[3\].skip: 1.0"),
        (lambda function: function["arguments"][0].update(signed=1), r"functions\[3\].arguments\[0\].signed: 1 "),
        (lambda function: function.update(aliases="[]"), r"functions\[3\].aliases: '\[\]'"),
    ],
)
def test_a_value_is_not_taken_for_an_equal_one_of_another_type(plan, change, message):
    alike = tuple(
        Function(f"f{i}", f"f{i}", "X", offset=i + 1, arguments=(Argument(0, "fd"),), skip=1) for i in range(7)
    )
    document = json.loads(encode(replace(plan, groups=(replace(plan.groups[0], functions=alike),))))
    change(document["groups"][0]["functions"][3])
    with pytest.raises(DatacrumbsError, match=message):
        decode(spelled(document))


def test_of_equal_mistakes_the_first_is_named(plan):
    wrong = tuple(Function(f"f{i}", f"f{i}", "X" if i < 2 else "no category", offset=i + 1) for i in range(7))
    with pytest.raises(DatacrumbsError, match=r"functions\[2\].category"):
        decode(encode(replace(plan, groups=(replace(plan.groups[0], functions=wrong),))))


def test_a_missing_key_is_named(plan):
    document = json.loads(encode(plan))
    del document["groups"][0]["functions"][1]["result"]
    with pytest.raises(DatacrumbsError, match=r"groups\[0\].functions\[1\]: result: missing"):
        decode(json.dumps(document, sort_keys=True, separators=(",", ":")).encode())


def test_arguments_and_fields_share_six_slots(plan):
    five = tuple(Argument(i, f"a{i}") for i in range(6))
    function = replace(plan.groups[0].functions[0], arguments=five)
    group = replace(plan.groups[0], functions=(function,))
    with pytest.raises(DatacrumbsError, match="6 arguments and 1 field of snippet vector; expected at most 6"):
        decode(encode(replace(plan, groups=(group,))))


def test_the_function_limit_counts_all_groups(plan):
    many = tuple(Function(f"f{i}", f"f{i}", "X", offset=i + 1) for i in range(16384))
    first = replace(plan.groups[0], functions=many)
    with pytest.raises(DatacrumbsError, match="16385 functions; expected at most 16384"):
        decode(encode(replace(plan, groups=(first, plan.groups[1]))))


@pytest.mark.parametrize("symbol", ["_ZN4main3fooEv", "os.(*File).Write", "foo.part.0", "write@@GLIBC_2.2.5", "~x"])
def test_symbols_of_other_languages_are_taken(plan, symbol):
    group = replace(plan.groups[0], functions=(Function(symbol, symbol, "X", offset=9),))
    changed = replace(plan, groups=(group,))
    assert decode(encode(changed)) == changed


@pytest.mark.parametrize(("index", "size", "fits"), [(120, 8, True), (127, 1, True), (124, 8, False), (128, 1, False)])
def test_a_field_of_an_event_is_within_what_can_be_read_of_its_record(index, size, fits):
    function = Function("f", "a:b", "KERNEL", arguments=(Argument(index, "value", "long", size=size),))
    assert (function_problem(function, Attach.TRACEPOINT) == "") is fits


KEPT = """
import ctypes, gc, re, sys
from datacrumbs.probefile.codec import decode

def resident():
    ctypes.CDLL(None).malloc_trim(0)
    return int(re.search("Anonymous: +([0-9]+)", open("/proc/self/smaps_rollup").read())[1]) << 10

gc.disable()
data = sys.stdin.buffer.read()
before = resident()
plan = decode(data)
print((resident() - before) // len(plan.functions), len({id(function.category) for function in plan.functions}))
"""


def test_of_the_document_of_a_plan_no_memory_stays(plan):
    """A daemon has it for as long as it runs, in each of its processes: 1,514 bytes a function, with the document."""
    many = tuple(Function(f"function_{i:05}", f"function_{i:05}", "X", offset=16 * (i + 1)) for i in range(16000))
    data = encode(replace(plan, groups=(replace(plan.groups[0], functions=many),)))
    done = subprocess.run([sys.executable, "-c", KEPT], input=data, capture_output=True, check=True)
    size, categories = map(int, done.stdout.split())
    assert size < 1100
    assert categories == 1
