"""A job of Flux as its prolog's environment and its jobspec say."""

from __future__ import annotations

import json

import pytest

from datacrumbs.errors import DatacrumbsError
from datacrumbs.jobs.flux_job import flux_job, job_id

from .test_metadata import BAD, FILE

FORMS = ("f{}", "\N{LATIN SMALL LETTER F WITH HOOK}{}", "20015998343868", "0x123456789abc", "0000.1234.5678.9abc")
F58 = "A4ncETis"
ENVIRONMENT = {"FLUX_JOB_ID": f"f{F58}", "FLUX_JOB_USERID": "1000", "FLUX_OWNER_USERID": "500"}


def jobspec(section: object = None) -> dict:
    """As `flux run --dry-run -n2 app` of 0.88 prints it, with one more attribute."""
    system = {"duration": 0, "environment": {"datacrumbs": "x", "HOME": "/h"}, "cwd": "/h", "shell": {"options": {}}}
    slot = {"type": "slot", "count": 2, "with": [{"type": "core", "count": 1}], "label": "task"}
    return {
        "resources": [slot],
        "tasks": [{"command": ["app"], "slot": "task", "count": {"per_slot": 1}}],
        "attributes": {"system": system if section is None else system | {"datacrumbs": section}},
        "version": 1,
    }


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_an_id_is_one_run(form: str) -> None:
    job = flux_job(ENVIRONMENT | {"FLUX_JOB_ID": form.format(F58)}, b"{}")
    assert (job.id, job.run, job.note, job.uid) == (f"f{F58}", f"f{F58}", f"flux-f{F58}", 1000)


@pytest.mark.parametrize("text", ["", "f", "x", "f0", "fO", "f1/2", "../f1", "1" * 21, "f" + "1" * 13])
def test_what_is_no_id(text: str) -> None:
    with pytest.raises(DatacrumbsError, match=r"FLUX_JOB_ID: .* is not a job id of Flux"):
        job_id({"FLUX_JOB_ID": text})


@pytest.mark.parametrize("text", ["", "-1", "alice", "4294967295"])
def test_what_is_no_user(text: str) -> None:
    with pytest.raises(DatacrumbsError, match=r"FLUX_JOB_USERID: .* is not a user id"):
        flux_job(ENVIRONMENT | {"FLUX_JOB_USERID": text}, b"{}")


def test_its_group_is_that_of_its_shell() -> None:
    job = flux_job(ENVIRONMENT | {"DATACRUMBS_FLUX_RANK": "3"}, b"{}")
    assert job.groups == (
        f"app.slice/imp-shell-3-f{F58}.service",
        f"app.slice/shell-3-f{F58}.service",
        f"user@500.service/imp-shell-3-f{F58}.service",
        f"user@500.service/shell-3-f{F58}.service",
    )
    assert job.group_maker == 500


@pytest.mark.parametrize("rank", ["", "x", "-1", "3/4"])
def test_without_a_rank_no_group_is_awaited(rank: str) -> None:
    assert flux_job(ENVIRONMENT | {"DATACRUMBS_FLUX_RANK": rank}, b"{}").groups == ()


def test_a_recorded_jobspec() -> None:
    def asked(section: object = None) -> str:
        return flux_job(ENVIRONMENT, json.dumps(jobspec(section)).encode()).probe_file()

    assert asked() == ""
    assert asked({"enable": "no"}) == ""
    assert asked({"enable": "yes", "probe_file": FILE}) == FILE


@pytest.mark.parametrize("row", BAD)
def test_what_is_not_exactly_right_is_refused_as_in_a_comment(row: str) -> None:
    comment, reason = BAD[row]
    text = f'{{"attributes":{{"system":{comment}}},"version":1}}'.encode(errors="surrogateescape")
    with pytest.raises(DatacrumbsError, match=f"(?s).*{reason}"):
        flux_job(ENVIRONMENT, text).probe_file()


@pytest.mark.parametrize("text", [b"[]", b"{}", b'{"attributes":[]}', b'{"attributes":{"system":1}}'])
def test_a_jobspec_without_attributes(text: bytes) -> None:
    assert flux_job(ENVIRONMENT, text).probe_file() == ""
