"""Settings: what may be set (`model`), how it is read (`load`), and what is wrong with it (`problems`)."""

from jibri_sip.config.load import ConfigProblems, find_file, load, load_api, old_names
from jibri_sip.config.model import (
    ApiSettings,
    AudioSettings,
    CameraSettings,
    DialInRule,
    DialInSettings,
    DialOutSettings,
    InstanceSettings,
    LimitSettings,
    LogSettings,
    MeetingSettings,
    Settings,
    SipSettings,
    TlsSettings,
    VideoSettings,
    XmppLogin,
)
from jibri_sip.config.problems import Problem

__all__ = [
    "ApiSettings",
    "AudioSettings",
    "CameraSettings",
    "ConfigProblems",
    "DialInRule",
    "DialInSettings",
    "DialOutSettings",
    "InstanceSettings",
    "LimitSettings",
    "LogSettings",
    "MeetingSettings",
    "Problem",
    "Settings",
    "SipSettings",
    "TlsSettings",
    "VideoSettings",
    "XmppLogin",
    "find_file",
    "load",
    "load_api",
    "old_names",
]
