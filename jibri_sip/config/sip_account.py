"""Settings of the instance's own account at a SIP provider."""

from typing import Annotated, Self

from pydantic import Field, SecretStr, model_validator

from jibri_sip.config.types import SecretFile, Section, one_of

_Uri = Annotated[str, Field(pattern=r"^sips?:[^\s<>\"]+$")]


class SipAccountSettings(Section):
    """The instance's account at a SIP provider, registered for as long as the gateway runs if it has a password.

    Calls are made with it unless their order has an account of its own; calls to it come in as all others do. Without
    a password it says merely how calls go: from which address, through which proxy.
    """

    user: Annotated[str, Field(pattern=r"^([^\s@<>\":]+@[^\s<>\"@]+)?$")] = Field(
        default="",
        description="Its address without `sip:`, as in `room7@provider.example.com`; perhaps with `;transport=tcp`. "
        "Default: our own, which registers nowhere.",
    )
    login: Annotated[str, Field(pattern=r"^[^\s\"]*$")] = Field(
        default="", description="User name to show to the provider, where it is not the user part of the address."
    )
    password: SecretStr | None = Field(
        default=None, description="Its password; better in a file. Default: none, and it is not registered."
    )
    password_file: SecretFile | None = Field(default=None, description="File that holds its password.")
    registrar: _Uri | None = Field(
        default=None, description="Where to register, as in `sip:provider.example.com`. Default: the address' domain."
    )
    proxy: _Uri | None = Field(
        default=None,
        description="Proxy that requests go through, as in `sip:provider.example.com;transport=tcp;lr`. "
        "Default: none, a call goes where its address says.",
    )
    contact: _Uri | None = Field(
        default=None, description="Address to be called at, as registered. Default: our own, as the registrar sees it."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        one_of(self, "password", "password_file")
        if self.secret is not None and not self.user:
            raise ValueError("needs user, whose password it is")
        if self.secret is None and (self.login or self.registrar):
            raise ValueError("needs password_file or password for login and registrar")
        if not (self.user or self.proxy or self.contact):
            raise ValueError("needs user, or at least proxy or contact")
        return self

    @property
    def secret(self) -> SecretStr | None:
        """The password, wherever it was given; None for none."""
        return self.password or self.password_file
