from __future__ import annotations

from ipaddress import ip_address

import pytest

from datacrumbs.errors import DatacrumbsError
from datacrumbs.serving.denial import DenialError
from datacrumbs.signer.remote_hosts import RemoteHosts, read_remote_hosts


@pytest.fixture
def policy(tmp_path):
    path = tmp_path / "policy.yaml"

    def write(text: str):
        path.write_text(f"rules: []\n{text}\n")
        return path

    return write


def code(hosts: RemoteHosts, address: str) -> str:
    try:
        hosts.check(ip_address(address))
    except DenialError as error:
        return error.code
    return ""


@pytest.mark.parametrize("text", ["", "remote_hosts: []"])
def test_no_host_without_the_policy_naming_it(policy, text):
    assert code(RemoteHosts(policy(text)), "127.0.0.1") == "remote.host"


def test_addresses_and_networks(policy):
    hosts = RemoteHosts(policy("remote_hosts: [10.0.0.12, 10.0.1.0/28, 'fd00::/64']"))
    allowed = ["10.0.0.12", "10.0.1.0", "10.0.1.15", "fd00::1"]
    refused = ["10.0.0.11", "10.0.0.13", "10.0.1.16", "fd00:0:0:1::1", "::1", "::ffff:10.0.0.12"]
    assert [code(hosts, each) for each in allowed] == [""] * 4
    assert [code(hosts, each) for each in refused] == ["remote.host"] * 6


def test_a_change_holds_at_once(policy):
    hosts = RemoteHosts(policy("remote_hosts: [10.0.0.12]"))
    assert code(hosts, "10.0.0.12") == ""
    policy("remote_hosts: [10.0.0.1]")
    assert code(hosts, "10.0.0.12") == "remote.host"
    policy("remote_hosts: all")
    assert code(hosts, "10.0.0.12") == code(hosts, "10.0.0.12") == "service.configuration"
    policy("").unlink()
    assert code(hosts, "10.0.0.12") == "service.configuration"


@pytest.mark.parametrize("host", ["login2", "10.0.0.1/8", "10.0.0.256", "'*'", "0x7f000001/33", "2130706433"])
def test_what_is_no_address_is_refused_with_its_line(policy, host):
    with pytest.raises(DatacrumbsError, match=r"policy\.yaml:2: remote_hosts\[0\]: .*expected"):
        read_remote_hosts(policy(f"remote_hosts: [{host}]"))


def test_a_policy_that_others_can_change_names_no_host(policy):
    path = policy("remote_hosts: [10.0.0.12]")
    path.chmod(0o666)
    assert code(RemoteHosts(path), "10.0.0.12") == "service.configuration"
