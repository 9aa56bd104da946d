"""The gateway itself, where it runs; where it does not, the directory that it would run in."""

from jibri_sip import ownership
from jibri_sip.doctor.finding import Finding, Patient, ok, warning, wrong
from jibri_sip.errors import DirectoryUnsafe
from jibri_sip.session.facts import StatusFacts

_CHECK = "gateway"


async def examine(patient: Patient) -> list[Finding]:
    """How it says that it stands."""
    if patient.running is not None:
        return [_slot(patient.running), *_account(patient.running)]
    directory = patient.settings.instance.runtime_dir
    try:
        ownership.check(directory)
    except DirectoryUnsafe as error:
        return [wrong(_CHECK, error.message, error.remedy)]
    return [ok(_CHECK, f"does not run; it would in {directory}")]


def _slot(facts: StatusFacts) -> Finding:
    name = f"instance {facts.instance}"
    if facts.problem is not None:
        return wrong(_CHECK, f"{name} runs, but: {facts.problem.message}", facts.problem.remedy)
    if facts.draining or facts.slot == "expired":
        return warning(_CHECK, f"{name} takes no more calls", "It was told so; start it anew to take calls again.")
    if facts.slot == "preparing":
        return warning(_CHECK, f"{name} is getting ready", "Look again in some seconds.")
    return ok(_CHECK, f"{name} runs and is {facts.slot}")


def _account(facts: StatusFacts) -> list[Finding]:
    account = facts.account
    if account is None:
        return []
    if account.registered is None:
        return [ok(_CHECK, f"calls go as {account.address}")]
    if account.registered:
        return [ok(_CHECK, f"{account.address} is registered")]
    answer = account.answer or "no answer yet"
    return [wrong(_CHECK, f"{account.address} is not registered: {answer}", "See sip.account, and ask the provider.")]
