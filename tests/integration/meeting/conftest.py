"""One embedded meeting for all tests of this directory; each test uses a room of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.library import library_directory
from tests.meeting import EmbeddedMeeting, MeetingOptions


@pytest.fixture(scope="session")
def library() -> Path:
    """The directory with the page's library."""
    return library_directory()


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def meeting(library: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedMeeting]:
    """An embedded meeting as it is by default, with one account."""
    options = MeetingOptions(accounts={"gateway": 'pass"word\\é'})
    async with EmbeddedMeeting(tmp_path_factory.mktemp("meeting"), library, options) as running:
        yield running
