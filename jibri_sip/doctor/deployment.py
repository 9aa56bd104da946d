"""The servers that the configuration names: meetings, XMPP, webhooks, the SIP provider."""

import asyncio
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx2

from jibri_sip.config.control import server_address
from jibri_sip.config.model import Settings
from jibri_sip.doctor import reach
from jibri_sip.doctor.finding import Finding, Patient, ok, warning, wrong

_CHECK = "deployment"
_SERVER_ERROR = 500
_ADDRESS_END = ";?>"


async def examine(patient: Patient) -> list[Finding]:
    """Each is found and answers; HTTPS with a certificate that is good."""
    settings = patient.settings
    checks = [
        *(_meetings(url) for url in _deployments(settings)),
        *(_xmpp(name, *server) for name, server in _control_servers(settings)),
        *(_subscriber(url) for url in settings.webhooks.subscribers),
        *(_provider(host) for host in _provider_hosts(settings)),
    ]
    return list(await asyncio.gather(*checks))


def _deployments(settings: Settings) -> list[str]:
    of_rules = (rule.base_url for rule in settings.dial_in.rules)
    of_environments = (environment.base_url for environment in settings.xmpp)
    return list(dict.fromkeys(url for url in (settings.meeting.base_url, *of_rules, *of_environments) if url))


def _control_servers(settings: Settings) -> Iterator[tuple[str, tuple[str, int]]]:
    for environment in settings.xmpp:
        for host in environment.hosts:
            yield environment.name, server_address(host, environment.control_login.port)


def _provider_hosts(settings: Settings) -> list[str]:
    account = settings.sip.account
    if account is None:
        return []
    if account.secret is None and account.proxy is None:
        return []  # nobody of the provider's is asked anything
    uri = account.proxy or account.registrar or account.user
    for end in _ADDRESS_END:
        uri = uri.partition(end)[0]
    authority = uri.rpartition("@")[2] if "@" in uri else uri.partition(":")[2]
    return [urlsplit(f"//{authority}").hostname or authority]


async def _meetings(url: str) -> Finding:
    answer = await reach.answered(url)
    if isinstance(answer, reach.Barrier):
        return wrong(_CHECK, answer.message, answer.remedy)
    if answer.status_code >= _SERVER_ERROR:
        return wrong(_CHECK, f"{url} answers HTTP {answer.status_code}", "See the log of the deployment's web server.")
    return ok(_CHECK, f"{url} answers")


async def _xmpp(name: str, host: str, port: int) -> Finding:
    barrier = await reach.connected(host, port)
    if barrier is not None:
        return wrong(_CHECK, f"XMPP of {name}: {barrier.message}", barrier.remedy)
    return ok(_CHECK, f"XMPP of {name}: {host} takes connections on port {port}")


async def _subscriber(url: str) -> Finding:
    answer = await reach.answered(url)
    if isinstance(answer, httpx2.Response):
        return ok(_CHECK, f"subscriber {url} answers")
    return warning(_CHECK, f"subscriber: {answer.message}", answer.remedy)


async def _provider(host: str) -> Finding:
    loop = asyncio.get_running_loop()
    try:
        await asyncio.wait_for(loop.getaddrinfo(host, None), reach.TIMEOUT_S)
    except (TimeoutError, OSError, UnicodeError):
        return wrong(_CHECK, f"SIP provider {host} is not found", "Check sip.account, and this machine's DNS servers.")
    return ok(_CHECK, f"SIP provider {host} is found")
