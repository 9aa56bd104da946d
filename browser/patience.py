"""How long Chrome may take, on machines that are slow."""

import os

PATIENCE = max(1.0, float(os.environ.get("JIBRI_SIP_PATIENCE") or 1))
"""What limits are multiplied by: 1, or more where JIBRI_SIP_PATIENCE says so (an emulated machine wants 10)."""
