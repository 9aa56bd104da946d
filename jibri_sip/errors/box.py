"""What makes the box unable to take calls, until it is mended."""
# ruff: noqa: N818  (the name says what is wrong: PortInUse, RoomLocked; the module says that it is an error)

from jibri_sip.errors.base import BoxError, Party


class ConfigInvalid(BoxError):
    """The configuration cannot be used."""

    key = "config-invalid"
    summary = "The configuration is not valid"
    remedy = "Mend the lines named and try `jibri-sip check-config`."


class PortInUse(BoxError):
    """A port that we are to listen on is taken."""

    key = "port-in-use"
    summary = "A port is already in use"
    remedy = "Stop the program that has it (`ss -lntup` shows which), or give this instance another port or number."


class AlreadyRunning(BoxError):
    """Another gateway runs under this instance's number."""

    key = "already-running"
    summary = "A gateway of this number runs already"
    remedy = "Stop it, or give this one another instance.number."


class DirectoryUnsafe(BoxError):
    """The runtime directory is not ours alone, or cannot be made."""

    key = "directory-unsafe"
    summary = "The runtime directory cannot be used"
    remedy = (
        "Remove it, or name one in instance.runtime_dir that belongs to the service's user and nobody else may write."
    )


class AddressUnavailable(BoxError):
    """An address that we are to listen on is not one of this machine's, or not ours to use."""

    key = "address-unavailable"
    summary = "An address cannot be listened on"
    remedy = "Give an address that this machine has (`ip address` lists them) and a port above 1023."


class PackageMissing(BoxError):
    """A Python package or native part is not installed or not built."""

    key = "package-missing"
    summary = "A Python package or native part is missing"
    remedy = "Run `make` again: it installs and builds what is missing."


class FileUnreadable(BoxError):
    """A file that the configuration names cannot be read."""

    key = "file-unreadable"
    summary = "A file cannot be read"
    remedy = "Check that it exists and that the service's user may read it."


class DeviceFailed(BoxError):
    """A virtual device (display, sound server, camera) does not start; the remedy is that of the device."""

    key = "device-failed"
    summary = "A virtual device does not start"
    remedy = "Install what scripts/packages.txt lists and see the log for what the device said."


class BrowserFailed(BoxError):
    """The browser does not start."""

    key = "browser-failed"
    summary = "The browser does not start"
    remedy = "Install chromium and chromium-driver of the same version and see the log for what they said."


class DiskFull(BoxError):
    """There is no room for a browser's profile."""

    key = "disk-full"
    summary = "The disk is full"
    remedy = "Make room where instance.runtime_dir is; the gateway tries again by itself."


class DisplayLost(BoxError):
    """The virtual display died; the gateway makes a new one."""

    key = "display-lost"
    summary = "The virtual display was lost"
    remedy = "Nothing, unless it comes back: then see the log for why Xvfb ends."
    retryable = True


class AudioLost(BoxError):
    """The sound server died; the gateway starts a new one."""

    key = "audio-lost"
    summary = "The sound server was lost"
    remedy = "Nothing, unless it comes back: then see the log for why pulseaudio ends."
    retryable = True


class CameraLost(BoxError):
    """The virtual camera died; the gateway makes a new one."""

    key = "camera-lost"
    summary = "The virtual camera was lost"
    remedy = "Nothing, unless it comes back: then see the log for why the camera's daemon ends."
    retryable = True


class BrowserLost(BoxError):
    """The browser or its driver died; the gateway starts a new one."""

    key = "browser-lost"
    summary = "The browser was lost"
    remedy = "Nothing, unless it comes back: then look for too little memory (`dmesg`, /dev/shm)."
    retryable = True


class NotReady(BoxError):
    """The slot is being made ready: right after the start, after a call, after a loss."""

    key = "not-ready"
    summary = "The gateway is getting ready"
    remedy = "Try again in some seconds."
    retryable = True


class Draining(BoxError):
    """The gateway takes no new calls, because it is to stop after the present one."""

    key = "draining"
    summary = "The gateway takes no new calls"
    remedy = "Use another instance; this one is about to stop."
    retryable = True
    by = Party.OPERATOR


class InternalError(BoxError):
    """A mistake of ours."""

    key = "internal-error"
    summary = "The gateway made a mistake"
    remedy = "Please report it with the log of this session."
    http_status = 500
