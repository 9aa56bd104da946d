"""From a target of the dial plan to a visit of the browser."""

from typing import Literal

from pydantic import SecretStr

from browser.secret import Secret
from browser.visit import Visit, XmppLogin
from jibri_sip.config.model import MeetingSettings
from jibri_sip.dial_plan import Target


def visit_for(
    target: Target, meeting: MeetingSettings, *, direction: Literal["inbound", "outbound"], sip_address: str
) -> Visit:
    """What the page is told: the target, and who we are to the deployment.

    Args:
        target: the meeting.
        meeting: the deployment's settings; its XMPP account goes to that deployment only.
        direction: as the deployment knows SIP gateways, by their e-mail address.
        sip_address: the peer's, published in our presence.
    """
    at_home = target.base_url == meeting.base_url
    return Visit(
        base_url=target.base_url,
        tenant=target.tenant,
        room=target.room,
        display_name=target.display_name,
        email=f"{direction}-sip-jibri@{meeting.email_domain}",
        statistics_id="jibri-sip",
        password=_secret(target.password),
        jwt=_secret(target.jwt),
        xmpp_login=_login(meeting) if at_home else None,
        config_overrides=dict(meeting.config_overrides),
        sip_address=sip_address,
    )


def _secret(value: SecretStr | None) -> Secret | None:
    return Secret(value.get_secret_value()) if value is not None else None


def _login(meeting: MeetingSettings) -> XmppLogin | None:
    login = meeting.xmpp_login
    if login is None or login.secret is None:
        return None
    return XmppLogin(login.domain, login.username, Secret(login.secret.get_secret_value()))
