"""Brokers with TLS, passwords, client certificates and ACLs.

Right credentials work end to end, and each wrong one gets its own message.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient
from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ConfigResource,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
    UserScramCredentialUpsertion,
)

from streamlearn.check.faults import find_faults
from streamlearn.kafka.admin.reachability import find_connection_faults
from streamlearn.settings.loading import load_settings
from streamlearn.settings.settings import Settings
from tests.certificates import issue
from tests.integration.brokers import Broker
from tests.integration.reference import assert_equals_an_uninterrupted_run
from tests.integration.service import Service

PASSWORD = "w0rker-Pa55"
SASL_LISTENER, TLS_LISTENER = 2, 3


@dataclass
class Secured:
    """A broker's secure listeners, and a user's credentials for them."""

    broker: Broker
    folder: Path
    user: str

    @property
    def ca_file(self) -> Path:
        return self.broker.folder / "tls" / "ca.pem"

    def address(self, listener: int) -> str:
        return f"127.0.0.1:{self.broker.port() + listener}"

    def by_password(self, **changes: Any) -> list[str]:
        """Return the settings of a worker with a password; changes override them, None removes one."""
        return self._settings(
            SASL_LISTENER,
            {
                "protocol": "sasl_ssl",
                "ca_file": self.ca_file,
                "user": self.user,
                "password_file": self.folder / "password",
                **changes,
            },
        )

    def by_certificate(self, **changes: Any) -> list[str]:
        """Return the settings of a worker with a client certificate."""
        tls = self.folder / "tls"
        files = {"certificate_file": tls / f"{self.user}.pem", "key_file": tls / f"{self.user}-key.pem"}
        return self._settings(TLS_LISTENER, {"protocol": "ssl", "ca_file": self.ca_file, **files, **changes})

    def _settings(self, listener: int, security: dict[str, Any]) -> list[str]:
        address = security.pop("address", self.address(listener))
        return [
            f"kafka.bootstrap_servers={address}",
            *(f"kafka.security.{name}={value}" for name, value in security.items() if value is not None),
        ]


def load(overrides: Sequence[str]) -> Settings:
    return load_settings(None, overrides, {}).settings


@pytest.fixture
def admin(broker: str) -> Iterator[KafkaAdminClient]:
    client = KafkaAdminClient(bootstrap_servers=broker)
    yield client
    client.close()


@pytest.fixture
def secured(broker_process: Broker, service: Service, admin: KafkaAdminClient, tmp_path: Path) -> Secured:
    """Create a user of the service's name with a password and a certificate."""
    made = Secured(broker_process, tmp_path, service.name)
    (tmp_path / "password").write_text(PASSWORD + "\n")
    admin.alter_user_scram_credentials([UserScramCredentialUpsertion(service.name, "SCRAM-SHA-512", PASSWORD)])
    shutil.copytree(broker_process.folder / "tls", tmp_path / "tls")
    issue(tmp_path / "tls", service.name)
    return made


def acls_of(service: Service, principal: str) -> list[ACL]:
    """Return the ACLs that docs/operations/secure.md asks for: those of a worker, and of a producer of instances."""
    read, write = ACLOperation.READ, ACLOperation.WRITE
    wanted = [
        (ResourceType.TOPIC, service.topic("instances"), read),
        (ResourceType.TOPIC, service.topic("instances"), write),
        *((ResourceType.TOPIC, service.topic(role), write) for role in ("predictions", "events", "metrics")),
        (ResourceType.TOPIC, service.topic("dead_letters"), write),
        (ResourceType.TOPIC, f"{service.name}-journal", read),
        (ResourceType.TOPIC, f"{service.name}-journal", write),
        (ResourceType.TOPIC, f"{service.name}-journal", ACLOperation.CREATE),
        (ResourceType.GROUP, service.name, read),
        (ResourceType.TRANSACTIONAL_ID, f"{service.name}-topic", write),
    ]
    return [
        ACL(principal, "*", operation, ACLPermissionType.ALLOW, ResourcePattern(kind, name))
        for kind, name, operation in wanted
    ]


def test_a_worker_with_password_tls_and_acls_answers_exactly_once(
    service: Service, secured: Secured, admin: KafkaAdminClient
) -> None:
    more = [*secured.by_password(), "log.level=debug"]
    service.create_topics()
    admin.create_acls(acls_of(service, f"User:{service.name}"))
    service.command("check", *service.settings(more=more))
    service.command(
        "produce", "synthetic:drifting", "--topic", service.topic("instances"), "--limit", "600",
        *(argument for setting in secured.by_password() for argument in ("--set", setting)),
    )  # fmt: skip
    process = service.start("--stop-at-end", own=True, more=more)
    assert process.wait(timeout=120) == 0, service.logs()
    answered = [answer["source"]["offset"] for answer in service.predictions()]
    assert sorted(answered) == [record.offset for record in service.read("instances")]
    assert len(answered) == 600
    assert_equals_an_uninterrupted_run(service, load(service.settings(more=more)[1::2]))
    assert PASSWORD not in service.log_of("w0")


def test_plain_passwords_and_client_certificates_are_accepted(
    service: Service, secured: Secured, admin: KafkaAdminClient
) -> None:
    service.create_topics()
    admin.create_acls(acls_of(service, f"User:CN={service.name}"))
    password_of_admin = secured.broker.folder / "admin-password"
    plain = secured.by_password(mechanism="PLAIN", user="admin", password_file=password_of_admin)
    for more in (secured.by_certificate(), plain):
        assert find_faults(load(service.settings(more=more)[1::2])) == []


def test_each_wrong_credential_has_its_message(
    service: Service, secured: Secured, admin: KafkaAdminClient, tmp_path: Path
) -> None:
    wrong_password = tmp_path / "wrong"
    wrong_password.write_text("x")
    issue(tmp_path / "foreign", secured.user)
    foreign = tmp_path / "foreign"
    plain = {"ca_file": None, "user": None, "password_file": None}
    sasl_port, tls_port = secured.address(SASL_LISTENER), secured.address(TLS_LISTENER)
    for overrides, said in (
        (secured.by_password(ca_file=foreign / "ca.pem"), f"an authority of kafka.security.ca_file ({foreign}/ca.pem)"),
        (secured.by_password(ca_file=None), "not signed by an authority of kafka.security.ca_file (the system's)"),
        (secured.by_password(password_file=wrong_password), f"user {secured.user!r} or its password is wrong"),
        (secured.by_password(user="nobody"), "user 'nobody' or its password is wrong"),
        (secured.by_password(mechanism="SCRAM-SHA-256"), "the mechanism SCRAM-SHA-256 is not enabled there: set "
         "kafka.security.mechanism to one of SCRAM-SHA-512, PLAIN"),
        (secured.by_password(mechanism="PLAIN"), f"user {secured.user!r} or its password is wrong"),
        (secured.by_password(protocol="plaintext", **plain), "the port may speak TLS; correct the port, or set "
         "kafka.security.protocol = ssl"),
        (secured.by_password(protocol="sasl_plaintext", ca_file=None), "kafka.security.protocol = sasl_ssl"),
        (secured.by_password(address=secured.broker.address), "the port does not speak TLS"),
        (secured.by_password(address=tls_port), "the broker asks for a client certificate"),
        (secured.by_certificate(address=sasl_port), "may ask for a user and a password (kafka.security.protocol = "
         "sasl_ssl)"),
        (secured.by_certificate(certificate_file=None, key_file=None), "the broker asks for a client certificate"),
        (secured.by_certificate(certificate_file=foreign / f"{secured.user}.pem",
                                key_file=foreign / f"{secured.user}-key.pem"), "refuses the client certificate"),
        (secured.by_certificate(address="127.0.0.2:" + tls_port.partition(":")[2]), "nothing listens on that port"),
        (["kafka.bootstrap_servers=a..b:9092"], "that is no host name"),
    ):  # fmt: skip
        (fault,) = find_connection_faults(load(overrides))
        assert said in fault
    # The broker changes its certificate while it runs; the new one has expired.
    expired = tmp_path / "expired"
    shutil.copytree(tmp_path / "tls", expired)
    issue(expired, "broker", end="20240101000000Z")

    def show(certificate: Path) -> None:
        name = "listener.name.mutual.ssl.keystore.location"
        admin.alter_configs([ConfigResource("BROKER", "1", {name: str(certificate)})], raise_on_unknown=False)

    settings = load(secured.by_certificate())
    show(expired / "broker-both.pem")
    try:
        # While the broker changes its certificate, some connections still get the other one.
        service.wait(
            "the expired certificate to be refused",
            lambda: any("certificate has expired" in fault for fault in find_connection_faults(settings)),
        )
    finally:
        show(secured.broker.folder / "tls" / "broker-both.pem")
    service.wait("the broker's own certificate", lambda: find_connection_faults(settings) == [])


def test_a_run_with_a_wrong_password_ends_at_once_with_one_line_that_does_not_show_it(
    service: Service, secured: Secured, tmp_path: Path
) -> None:
    (tmp_path / "password").write_text("another-" + PASSWORD)
    settings = service.settings(more=[*secured.by_password(), "log.level=debug"])
    produce = ["produce", "synthetic:drifting", "--topic", "t"]
    security = [argument for setting in secured.by_password() for argument in ("--set", setting)]
    for command, status in ((["run", *settings], 2), (["check", *settings], 2), ([*produce, *security], 2)):
        done = subprocess.run(
            [sys.executable, "-m", "streamlearn", *command], capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == status, done.stderr
        assert "or its password is wrong" in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr
        assert PASSWORD not in done.stdout + done.stderr


def test_each_missing_acl_is_named(service: Service, secured: Secured, admin: KafkaAdminClient) -> None:
    service.create_topics()
    principal = f"User:{service.name}"
    acls = [acl for acl in acls_of(service, principal) if acl.operation != ACLOperation.CREATE]
    acls.remove(next(acl for acl in acls if acl.resource_pattern.resource_name == service.topic("instances")))
    admin.create_acls(acls)
    settings = load(service.settings(more=secured.by_password())[1::2])
    # Of the instances only writing is allowed.
    (fault,) = find_faults(settings)
    assert fault == f"topic {service.topic('instances')} (topics.instances) may not be read: grant this user READ on it"
    said = {
        (ResourceType.TOPIC, service.topic("predictions")): "(topics.predictions) may not be written: grant",
        (ResourceType.TOPIC, f"{service.name}-journal"): "(topics.journal) may not be read or written",
        (ResourceType.GROUP, service.name): f"group {service.name} (kafka.group_id) may not be joined: grant this user "
        "READ on it",
        (ResourceType.TRANSACTIONAL_ID, f"{service.name}-topic"): f"transactional id {service.name}-topic may not be "
        "used: grant this user WRITE on it",
    }
    for (kind, name), words in said.items():
        pattern = ResourcePatternFilter(kind, name, ACLResourcePatternType.LITERAL)
        admin.delete_acls([ACLFilter(principal, "*", ACLOperation.ANY, ACLPermissionType.ANY, pattern)])
        assert any(words in fault for fault in find_faults(settings)), (words, find_faults(settings))
    found = find_faults(settings)
    assert len(found) == 1 + len(said), found
