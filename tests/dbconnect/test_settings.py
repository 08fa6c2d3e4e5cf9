"""Where settings come from, and that no secret is ever text, whatever its characters and the URL's form."""

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from dbconnect import Settings, SettingsError, load_settings
from dbconnect.masking import mask_url
from dbconnect.settings import GROUPS
from dbconnect.settings_loader import find_sources

# Long enough, and of letters that no other part of a URL here has, so that a part of it can't be there by chance.
PASSWORDS = st.text(alphabet="XYZ9#/@?:%&= '\\;,+é$", min_size=8, max_size=20).filter(
    lambda text: sum(letter in "XYZ9" for letter in text) >= 6
)
URL_FORMS = [
    "postgresql://u:{}@h/db",
    "postgresql://u:{}@h1:1,h2:2/db?sslmode=require",
    "postgres://:{}@/db",
    "postgresql://u@h/db?password={}",
    "postgresql://u@h?password={}",
    "postgresql://u@h/db?sslpassword={}&sslmode=require",
    "postgresql://u@h/db?passfile={}",
    "postgresql://h/db?user=u&password={}",
    "redis://:{}@h:6379/0",
    "rediss://u:{}@h/0",
    "redis://h/0?password={}",
    "host=h dbname=db password={}",
    "password='{}' host=h",
    "https://u:{}@h/keys",
    "https://{}@h/keys",
    "https://h/keys?token={}",
    "{}",
]


def fragments(password: str) -> list[str]:
    """Parts of the password that nothing may show: every run of four of its own letters."""
    runs = "".join(letter if letter in "XYZ9" else " " for letter in password).split()
    return [run for run in runs if len(run) >= 3]


@given(form=st.sampled_from(URL_FORMS), password=PASSWORDS, is_quoted=st.booleans())
def test_no_form_of_a_url_shows_its_password(form: str, password: str, is_quoted: bool) -> None:
    text = mask_url(form.format(quote(password, safe="") if is_quoted else password))
    assert not [part for part in [password, *fragments(password)] if part in text]


@given(
    form=st.sampled_from(URL_FORMS),
    name=st.sampled_from(["admin_url", "redis_url", "dashboard_replicas", "jwks_url", "dagster_webserver_url"]),
    password=PASSWORDS,
    is_quoted=st.booleans(),
)
def test_neither_settings_nor_their_errors_show_a_password(
    form: str, name: str, password: str, is_quoted: bool
) -> None:
    url = form.format(quote(password, safe="") if is_quoted else password)
    try:
        settings = Settings(
            _env_file=None, **{name: [{"name": "a", "url": url}] if name == "dashboard_replicas" else url}
        )
    except ValidationError as error:
        text = f"{error} {error!r} {error.errors(include_input=False, include_context=False)}"
    else:
        text = f"{settings} {settings!r} {settings.masked()}"
    # Text without :// is no URL, so nothing tells that it is a secret.
    if "://" in url or name.endswith("replicas"):
        assert not [part for part in [password, *fragments(password)] if part in text]


@pytest.mark.parametrize("letter", ["#", "/", "@", "?"])
@pytest.mark.parametrize("form", ["postgresql://u:XYZ{}9@h/db", "redis://:XYZ{}9@h/0"])
def test_an_unescaped_character_in_a_password_is_refused(
    form: str, letter: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    name = "REDIS_URL" if form.startswith("redis") else "ADMIN_URL"
    monkeypatch.setenv(f"SALESPULSE_{name}", form.format(letter))
    with pytest.raises(SettingsError, match=f"SALESPULSE_{name}: .*percent-encode it") as error:
        load_settings()
    assert "XYZ" not in str(error.value)
    monkeypatch.setenv(f"SALESPULSE_{name}", form.format(quote(letter, safe="")))
    assert load_settings().url(name.lower()) == form.format(quote(letter, safe=""))


def test_what_the_url_of_a_server_shows() -> None:
    assert mask_url("postgresql://u@h/db?password=s3cret") == "postgresql://u:***@h/db"
    assert mask_url("redis://:p#w@h/0") == "***"
    assert mask_url("redis://:pw@h:6379/0") == "redis://***@h:6379/0"
    assert mask_url("https://h/keys.json") == "https://h/keys.json"
    several = "postgresql://u:p@h1:1,h2:2/db?sslmode=require&options=-c"
    assert mask_url(several) == "postgresql://u:***@h1:1,h2:2/db?options=***&sslmode=require"


def test_a_list_that_is_no_json_is_refused_without_its_text(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SALESPULSE_DASHBOARD_REPLICAS", '[{"url": "postgresql://u:XYZ@h/db"')
    with pytest.raises(SettingsError, match="dashboard_replicas") as error:
        load_settings()
    assert "XYZ" not in str(error.value)


def test_every_setting_is_in_one_group() -> None:
    names = [name for group in GROUPS for name in group.model_fields]
    assert sorted(names) == sorted(Settings.model_fields)
    assert len(set(names)) == len(names)
    assert all(Settings.model_fields[name].description for name in names)


def test_the_strongest_source_wins_and_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    stack = tmp_path / "data"
    stack.mkdir()
    monkeypatch.setenv("SALESPULSE_DATA_DIR", str(stack))
    (stack / "stack.env").write_text("SALESPULSE_API_PORT=1\nSALESPULSE_SOURCE=stack\nSALESPULSE_JWT_ISSUER=stack\n")
    (tmp_path / ".env").write_text("SALESPULSE_API_PORT=2\nSALESPULSE_SOURCE=dotenv\n")
    monkeypatch.setenv("SALESPULSE_API_PORT", "3")
    settings = load_settings()
    assert (settings.api_port, settings.source, settings.jwt_issuer) == (3, "dotenv", "stack")
    sources = find_sources(settings)
    names = ("api_port", "source", "jwt_issuer", "api_host")
    assert [sources[name] for name in names] == ["environment", ".env", "stack file", "default"]
