"""SIP user agents for the tests: a measured one on pjsua2, and Debian's baresip, which shares no code with us."""
