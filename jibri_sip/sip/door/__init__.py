"""Where requests of strangers are judged, before PJSIP makes a transaction, a dialog or a call of them."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import structlog

from jibri_sip.sip.guard import FAILED, Verdict

log = structlog.get_logger(__name__)

Judge = Callable[[str, str], Verdict]
"""Takes the address that a request came from, without port, and its text."""


class DoorError(Exception):
    """PJSIP did not take the module."""


def open_door(judge: Judge, *, refusal_text: str, retry_after_s: int) -> None:
    """Have each request outside a dialog judged; on the PJSIP thread, after `libInit`. It ends with PJSIP.

    Args:
        judge: says what becomes of a request.
        refusal_text: why a call gets 488; empty for no word.
        retry_after_s: what is said in a 486 and 503.

    Raises:
        DoorError: PJSIP did not take the module.
    """
    native: Any = import_module("jibri_sip.sip.door._door")
    ffi, lib = native.ffi, native.lib

    def answer(address: Any, message: Any, length: int) -> int:
        try:
            text = ffi.buffer(message, length)[:].decode("utf-8", "surrogateescape")
            verdict = judge(ffi.string(address).decode(), text)
        except Exception:
            # Closed: a message that trips us must not be a key.
            log.exception("door_failed")
            verdict = FAILED
        for name, value in verdict.headers:
            lib.door_add_header(name.encode(), value.encode())
        return verdict.code

    ffi.def_extern(name="door_judge")(answer)
    status = lib.door_open(refusal_text.encode(), retry_after_s)
    if status != 0:
        raise DoorError(f"PJSIP's status {status}")
