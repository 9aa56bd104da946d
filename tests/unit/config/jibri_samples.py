"""Configurations as deployments of Jibri have them, in each layout."""

CONTROL_PASSWORD = "canary-control-4711"  # noqa: S105  (found by it, should it get out)
CALL_PASSWORD = "canary-call-0815"  # noqa: S105
ACCOUNT_PASSWORD = "canary-account-2342"  # noqa: S105
CANARIES = (CONTROL_PASSWORD, CALL_PASSWORD, ACCOUNT_PASSWORD)

ENVIRONMENT = f"""\
{{
    name = "prod environment"
    xmpp-server-hosts = [ "xmpp-1.example.com", "xmpp-2.example.com:6222" ]
    xmpp-domain = "meet.example.com"
    control-muc {{ domain = "internal.auth.meet.example.com", room-name = "JibriBrewery", nickname = "jibri-7" }}
    control-login {{
        domain = "auth.meet.example.com"
        port = 6222
        username = "jibri"
        password = "{CONTROL_PASSWORD}"
        randomize-username = false
    }}
    sip-control-muc {{ domain = "internal.auth.meet.example.com", room-name = "SipBrewery", nickname = "unused" }}
    call-login {{
        domain = "sipjibri.meet.example.com"
        username = "sipjibri"
        password = "{CALL_PASSWORD}"
        randomize-username = true
    }}
    strip-from-room-domain = "conference."
    usage-timeout = 1 hour
    trust-all-xmpp-certs = true
    security-mode = ifpossible
}}"""

EVERYTHING = f"""\
// In the layout of Jibri's own defaults.
jibri {{
  id = "jibri-7"
  single-use-mode = true   # thrown away after each call
  api {{
    http {{
      external-api-port = 12222
      external-api-host = "127.0.0.1"
      internal-api-port = 13333
      internal-api-host = "127.0.0.1"
    }}
    xmpp {{
      environments = [
{ENVIRONMENT}
      ]
    }}
  }}
  recording {{
    recordings-directory = "/tmp/recordings"
    finalize-script = "/path/to/finalize"
  }}
  streaming {{
    rtmp-allow-list = [
      ".*"
    ]
  }}
  sip {{
    outbound-prefix = ""
    dtmf-fifo-path = "/tmp/jibri_pjsua_dtmf"
  }}
  ffmpeg {{
    resolution = "1920x1080"
    framerate = 30
    video-encode-preset-streaming = "veryfast"
    video-encode-preset-streaming = ${{?jibri.ffmpeg.video-encode-preset}}
    queue-size = 4096
    input-linux = [
      "-f", "x11grab"
      "-r", ${{jibri.ffmpeg.framerate}}
    ]
    video-params-recording = ${{jibri.ffmpeg.video-params}} [
      "-preset", ${{jibri.ffmpeg.video-encode-preset-recording}}
    ]
    command-linux-recording = ${{jibri.ffmpeg.ffmpeg}} ${{jibri.ffmpeg.input-linux}} ${{jibri.ffmpeg.audio-params}}
  }}
  selenium {{
    use-external-api = false
  }}
  chrome {{
    flags = [
      "--use-fake-ui-for-media-stream",
      "--start-maximized",
      "--ignore-certificate-errors",
      "--lang=de"
    ]
  }}
  stats {{
    enable-stats-d = true
    host = "statsd.example.com"
    port = 18125
    prometheus {{
      enabled = true
    }}
  }}
  webhook {{
    subscribers = [ "http://localhost:6000/hook", "http://localhost:8017/hook" ]
  }}
  jwt-info {{
    signing-key-path = "/etc/jitsi/jibri/key.pem"
    kid = "key-1"
    issuer = "jibri"
    audience = "jibri-queue"
    ttl = 2 hours
  }}
  call-status-checks {{
    no-media-timeout = 4 minutes
    all-muted-timeout = 30 minutes
    default-call-empty-timeout = 30 seconds
    ice-connection-timeout = 45 seconds
  }}
}}
"""

DOCKER = """\
jibri {
    // A unique identifier for this Jibri
    id = "jibri-123456"
    single-use-mode = false

    api {
      http {
        external-api-port = 2222
        internal-api-port = 3333
      }
    }
    recording {
      recordings-directory = "/config/recordings"
    }
    ffmpeg {
      resolution =  "1280x720"
      audio-source = "pulse"
      audio-device =  "default"
      framerate = 30
    }
    chrome {
      flags = [
        "--use-fake-ui-for-media-stream",
        "--no-sandbox"
      ]
    }
    stats {
      prometheus.enabled = false
    }
}

include "xmpp.conf"

include "/nowhere/config/custom-jibri.conf"
"""

DOCKER_XMPP = f"""\
jibri.api.xmpp.environments = [
            {{
                name = "-0"
                xmpp-server-hosts = [
                    "xmpp.meet.jitsi"
                ]
                xmpp-domain = "meet.jitsi"
                base-url = "https://meet.example.com:8443"
                control-muc {{
                    domain = "internal-muc.meet.jitsi"
                    room-name = "sipbrewery"
                    nickname = "jibri-123456"
                }}
                control-login {{
                    domain = "auth.meet.jitsi"
                    port = "5222"
                    username = "jibri"
                    password = "{CONTROL_PASSWORD}"
                }}
                call-login {{
                    domain = "hidden.meet.jitsi"
                    username = "recorder"
                    password = "{CALL_PASSWORD}"
                }}
                strip-from-room-domain = "muc."
                usage-timeout = "0"
                trust-all-xmpp-certs = true
            }}
]
"""

LEGACY = f"""\
{{
    // Jibri's old layout allows comments
    "jibri_id": "old-1",
    "recording_directory": "/tmp/recordings",
    "finalize_recording_script_path": "/path/to/finalize",
    "single_use_mode": true,
    "enable_stats_d": false,
    /* and blocks of them */
    "xmpp_environments": [
        {{
            "name": "prod",
            "xmpp_server_hosts": ["10.0.0.1"],
            "xmpp_domain": "meet.example.com",
            "control_login": {{
                "domain": "auth.meet.example.com",
                "username": "jibri",
                "password": "{CONTROL_PASSWORD}"
            }},
            "control_muc": {{
                "domain": "internal.auth.meet.example.com",
                "room_name": "SipBrewery",
                "nickname": "old-1"
            }},
            "call_login": {{
                "domain": "sip.meet.example.com",
                "username": "sip",
                "password": "{CALL_PASSWORD}"
            }},
            "room_jid_domain_string_to_strip_from_start": "conference.",
            "usage_timeout": 90
        }}
    ]
}}
"""

PJSUA_PACKAGED = """\
--capture-dev=11
--playback-dev=14
--video
--vcapture-dev=1
--log-level=5
--auto-update-nat 0
--disable-stun
--no-tcp
--dis-codec GSM
--dis-codec G722
--dis-codec speex
--dis-codec pcmu
--dis-codec pcma
--dis-codec opus
--add-codec pcmu
--add-codec pcma
--add-codec speex
--add-codec G722
--add-codec opus
--ec-tail 0
--max-calls=1
--auto-keyframe=30
--log-file=/var/log/jitsi/jibri/pjsua.log
--id "jibri <sip:jibri@127.0.0.1>"
"""

PJSUA_PRODUCTION = f"""\
# In production: TCP and TLS, an account, a resolver.
--use-tls
--local-port 15060
--rtp-port=20000
--ip-addr=203.0.113.7
--bound-addr 10.0.0.7
--use-srtp=2 --srtp-secure 0
--nameserver 10.0.0.2
--dis-codec all
--add-codec PCMA
--add-codec opus
--id sip:room@provider.example.com
--registrar sip:provider.example.com;transport=tcp
--realm *
--username room
--password {ACCOUNT_PASSWORD}
--proxy "sip:provider.example.com;transport=tcp;hide"
--duration 7200
--auto-keyframe=30
"""
