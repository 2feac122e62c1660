"""Settings: where secrets come from, and that they stay there."""

from __future__ import annotations

from pathlib import Path

import pytest

from leadstream.errors import ConfigError, LeadstreamError
from leadstream.kafka_login import connection_options
from leadstream.settings import SECRETS, KafkaSettings, RegistrySettings, Settings
from schemas.registry import Registry


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_may_stand_in_a_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As containers are given them: the variable names the file."""
    file = tmp_path / "secret"
    file.write_text("from-a-file\n")
    monkeypatch.setenv(name, "")  # so that it is taken away again: it is put there for this process
    monkeypatch.setenv(f"{name}_FILE", str(file))
    monkeypatch.setenv("LEADSTREAM_HOME", str(tmp_path))
    settings = Settings.load()
    kafka, registry, s3 = settings.kafka, settings.registry, settings.s3
    found = (
        kafka.sasl_password,
        registry.password,
        registry.token,
        settings.postgres.dsn,
        s3.secret_access_key,
        settings.privacy_key,
    )
    values = [secret.get_secret_value() for secret in found if secret is not None]
    assert "from-a-file" in values
    assert "from-a-file" not in repr(settings)


def test_an_empty_variable_counts_as_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose files pass empty variables on; an empty key must not hide the machine's role."""
    monkeypatch.setenv("LEADSTREAM_HOME", str(tmp_path))
    monkeypatch.setenv("S3_ACCESS_KEY_ID", "")
    monkeypatch.setenv("SCHEMA_REGISTRY_USERNAME", "")
    settings = Settings.load()
    assert settings.s3.access_key_id is None
    assert settings.registry.username is None


@pytest.mark.parametrize("given", [{}, {"sasl_username": "user"}, {"sasl_password": "secret"}])
def test_a_login_needs_a_user_and_a_password(given: dict[str, str]) -> None:
    """Said at the start, with the names of the settings."""
    settings = KafkaSettings(security_protocol="SASL_SSL", **given)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"):
        connection_options(settings)


async def test_a_password_within_a_url_is_not_told() -> None:
    """Somebody may put it there; no message repeats it."""
    registry = Registry(RegistrySettings(url="http://user:secret@127.0.0.1:1/api"))
    with pytest.raises(LeadstreamError) as caught:
        await registry.subjects()
    await registry.close()
    assert "secret" not in str(caught.value) and "127.0.0.1:1" in str(caught.value)
