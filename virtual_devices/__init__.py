"""The gateway's virtual devices: a display, sound, a camera, and the two sources and sinks that PJMEDIA sees.

    to_sip   Display ──► ScreenSource ──► "meeting-screen"     AudioServer's meeting.monitor ──► SoundDevice
    to_meet  "sip-camera" ──► Camera ──► the browser           SoundDevice ──► AudioServer's sink sip ──► SIP_Room

Each owns what it starts: `start` acquires in order, `close` releases in reverse, works half-built and twice.
"""
