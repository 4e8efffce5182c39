"""boto3's clients, from botocore: dear to make (some 200 ms), so each is made once in a process, when it is first needed."""

from __future__ import annotations

import threading
from typing import Any

from millstream._version import __version__
from millstream.errors import SettingsError

CONNECT_SECONDS = 3
READ_SECONDS = 10
CONNECTIONS = 32

_clients: dict[tuple[str, str | None], Any] = {}
_session: Any = None
_lock = threading.Lock()


def client(service: str, region: str | None = None) -> Any:
    """The client of a service, for all threads. Endpoint, credentials and region are those of the AWS_* environment.

    It makes one attempt a call: `millstream.sinks.retry` makes the next, for it knows how much time there is.
    Raises SettingsError where boto3 is not installed, or cannot use its settings.
    """
    with _lock:
        found = _clients.get((service, region))
        if found is None:
            found = _clients[service, region] = make(service, region)
        return found


def rehearse(service: str, region: str | None = None) -> None:
    """Load what a client is made of. It is made with credentials that are none, so that nobody is asked for any, and not kept."""
    with _lock:
        make(service, region or "us-east-1", aws_access_key_id="none", aws_secret_access_key="none")  # noqa: S106 (none)


def credentials() -> Any:
    """botocore's credentials of all clients, which it renews; None where there are none."""
    with _lock:
        return _shared_session().get_credentials()


def forget() -> None:
    """Have every client made anew when it is next needed, with the credentials of then and connections of its own."""
    global _session
    with _lock:
        _clients.clear()
        _session = None


def make(service: str, region: str | None = None, *, read_seconds: float = READ_SECONDS, **credentials: str) -> Any:
    """A client of its own, as `client` gives them, which waits so long for an answer."""
    try:
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, NoRegionError
    except ImportError:
        raise SettingsError(f"{service} needs boto3, which is not installed: pip install 'millstream[aws]'") from None
    config = Config(
        retries={"total_max_attempts": 1},
        connect_timeout=CONNECT_SECONDS,
        read_timeout=read_seconds,
        max_pool_connections=CONNECTIONS,
        response_checksum_validation="when_required",  # TLS checks what comes; zlib's CRC would be a tenth of an object's time
        user_agent_extra=f"millstream/{__version__}",
    )
    try:
        return _shared_session().create_client(service, region_name=region, config=config, **credentials)
    except NoRegionError:
        raise SettingsError(f"{service} has no region: set AWS_DEFAULT_REGION") from None
    except ValueError:  # what it says may hold a password
        raise SettingsError(
            f"the endpoint of {service} is no URL, or its region none: correct AWS_ENDPOINT_URL or AWS_DEFAULT_REGION"
        ) from None
    except (BotoCoreError, OSError) as error:  # a profile that is not there, a configuration file that cannot be read
        raise SettingsError(f"the AWS settings for {service} cannot be used: {error}") from None


def _shared_session() -> Any:
    """botocore's session, for all clients. boto3's own would add transfers and resources, which nobody here asks for."""
    global _session
    if _session is None:
        from botocore.session import get_session

        from millstream.sinks.models import loader

        session = get_session()
        session.register_component("data_loader", loader(session.get_config_variable("data_path")))
        _session = session
    return _session
