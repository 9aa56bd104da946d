"""What is asked of a session that goes on."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Mute(_Asked):
    """Mute or unmute the room system in the meeting."""

    audio: bool | None = Field(default=None, description="Whether its sound is to be muted; null leaves it as it is.")
    video: bool | None = Field(default=None, description="Whether its picture is to be muted; null leaves it as it is.")


class Video(_Asked):
    """Add the picture to the call, or take it out."""

    video: bool = Field(description="Whether the call is to have a picture.")


class Dtmf(_Asked):
    """Press keys towards the peer."""

    digits: Annotated[str, Field(pattern=r"^[0-9A-D*#]{1,64}$")] = Field(description="Keys, in turn (RFC 4733).")
