"""Processes are found and ended by session and by mark."""

import subprocess

from browser import process_tree


def test_session_and_marked_strays_are_killed_and_nobody_else() -> None:
    """Those in the session and those that took the mark elsewhere go; a bystander stays."""
    mark = "JIBRI_SIP_BROWSER=/nowhere/test-mark\0"
    env = {"PATH": "/usr/bin:/bin", "JIBRI_SIP_BROWSER": "/nowhere/test-mark"}
    leader = subprocess.Popen(
        ["sh", "-c", "sleep 60 & exec sleep 60"], start_new_session=True, env={"PATH": "/usr/bin:/bin"}
    )
    stray = subprocess.Popen(["sleep", "60"], start_new_session=True, env=env)
    bystander = subprocess.Popen(["sleep", "60"], start_new_session=True, env={})
    try:
        while len(process_tree.members(leader.pid, mark)) < 3:
            pass
        assert process_tree.kill(leader.pid, mark) == []
        assert leader.wait(1) < 0
        assert stray.wait(1) < 0
        assert process_tree.is_alive(bystander.pid)
    finally:
        for process in (leader, stray, bystander):
            process.kill()
            process.wait()


def test_zombies_are_not_alive() -> None:
    """A process that has ended and was not collected is dead."""
    process = subprocess.Popen(["true"])
    while process_tree.is_alive(process.pid):
        pass
    assert process.wait() == 0
    assert not process_tree.is_alive(process.pid)
