"""From a target of the dial plan to a visit of the browser."""

from typing import Literal

from pydantic import SecretStr

from browser.secret import Secret
from browser.visit import Visit, XmppLogin
from jibri_sip.config.model import MeetingSettings, Settings
from jibri_sip.dial_plan import Login, Target


def visit_for(
    target: Target, settings: Settings, *, direction: Literal["inbound", "outbound"], sip_address: str
) -> Visit:
    """What the page is told: the target, and who we are to the deployment.

    Args:
        target: the meeting.
        settings: the gateway's; the XMPP account of `[meeting]` goes to that deployment only.
        direction: as the deployment knows SIP gateways, by their e-mail address.
        sip_address: the peer's, published in our presence; with or without `sip:`, perhaps empty.
    """
    meeting = settings.meeting
    login = target.login or (_login(meeting) if target.base_url == meeting.base_url else None)
    return Visit(
        base_url=target.base_url,
        tenant=target.tenant,
        room=target.room,
        display_name=target.display_name,
        email=target.email or f"{direction}-sip-jibri@{meeting.email_domain}",
        statistics_id=target.statistics_id or settings.jibri.id or "jibri-sip",
        password=_secret(target.password),
        jwt=_secret(target.jwt),
        xmpp_login=_account(login) if login is not None else None,
        config_overrides={**meeting.config_overrides, **target.config_overrides},
        sip_address=_published(sip_address),
    )


def _secret(value: SecretStr | None) -> Secret | None:
    return Secret(value.get_secret_value()) if value is not None else None


def _login(meeting: MeetingSettings) -> Login | None:
    login = meeting.xmpp_login
    if login is None or login.secret is None:
        return None
    return Login(login.domain, login.username, login.secret)


def _account(login: Login) -> XmppLogin:
    return XmppLogin(login.domain, login.username, Secret(login.password.get_secret_value()))


def _published(sip_address: str) -> str | None:
    if not sip_address:
        return None
    return sip_address if sip_address.lower().startswith(("sip:", "sips:")) else f"sip:{sip_address}"
