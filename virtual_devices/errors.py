"""What goes wrong with devices."""


class DeviceError(Exception):
    """A device cannot be had or was lost.

    Attributes:
        device: which one, in the words of an operator ("display", "sound", "camera").
        problem: what is wrong with it.
        remedy: what to do about it, as one sentence; empty when nothing is known to help.
    """

    def __init__(self, device: str, problem: str, remedy: str = "") -> None:
        super().__init__(f"{device}: {problem}" + (f" ({remedy})" if remedy else ""))
        self.device = device
        self.problem = problem
        self.remedy = remedy
