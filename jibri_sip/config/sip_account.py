"""Settings of the instance's own account at a SIP provider."""

from typing import Annotated, Self

from pydantic import Field, SecretStr, model_validator

from jibri_sip.config.types import SecretFile, Section, one_of

_Uri = Annotated[str, Field(pattern=r"^sips?:[^\s<>\"]+$")]


class SipAccountSettings(Section):
    """An account at a SIP provider that is registered for as long as the gateway runs.

    Calls are made with it unless their order has an account of its own; calls to it come in as all others do.
    """

    user: Annotated[str, Field(pattern=r"^[^\s@<>\":]+@[^\s<>\"@]+$")] = Field(
        description="Its address without `sip:`, as in `room7@provider.example.com`; perhaps with `;transport=tcp`."
    )
    login: Annotated[str, Field(pattern=r"^[^\s\"]*$")] = Field(
        default="", description="User name to show to the provider, where it is not the user part of the address."
    )
    password: SecretStr | None = Field(default=None, description="Its password; better in a file.")
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
    def _one_password(self) -> Self:
        one_of(self, "password", "password_file")
        if (self.password or self.password_file) is None:
            raise ValueError("needs password_file or password")
        return self

    @property
    def secret(self) -> SecretStr:
        """The password, wherever it was given."""
        secret = self.password or self.password_file
        assert secret is not None  # noqa: S101  (the validator has seen to it)
        return secret
