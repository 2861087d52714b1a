"""Extras by the package's own metadata; recorder and options."""

from __future__ import annotations

from importlib.metadata import version

from metalscope.doctor import State
from metalscope.doctor.extras import check_extras


def found() -> dict[str, object]:
    return {one.name: one for one in check_extras()}


def test_every_extra_the_package_declares_is_looked_at_and_lists_of_others_are_not():
    from importlib.metadata import metadata

    declared = set(metadata("metalscope").get_all("Provides-Extra")) - {"all", "export"}
    assert set(found()) == {"metalscope", *declared}


def test_an_extra_that_is_there_has_its_versions():
    one = found()["server"]
    assert one.state is State.WORKS
    assert one.facts["versions"]["starlette"] == version("starlette")
    assert one.facts["requires"]["uvicorn"].startswith(">=")


FAKE = """Provides-Extra: lab
Provides-Extra: mac
Provides-Extra: half
Provides-Extra: all
Requires-Dist: psutil>=1
Requires-Dist: some-lib>=2; extra == "lab"
Requires-Dist: other; sys_platform == "no such" and extra == "mac"
Requires-Dist: psutil>=1; extra == "half"
Requires-Dist: no-such-lib>=1; extra == "half"
Requires-Dist: metalscope[lab,half]; extra == "all"
"""


def test_an_extra_that_is_not_installed_is_absent_with_the_line_to_type(install):
    install("metalscope", "9", FAKE)
    one = found()["half"]
    assert (one.state, one.why) == (State.ABSENT, "no-such-lib is not installed")
    assert one.remedy == "pip install --upgrade 'metalscope[half]'"


def test_a_library_older_than_required_is_broken(install):
    install("metalscope", "9", FAKE)
    install("some-lib", "1.9")
    one = found()["lab"]
    assert (one.state, one.why) == (State.BROKEN, "some-lib 1.9 is not >=2")


def test_an_extra_of_another_system_is_absent_and_says_so(install):
    install("metalscope", "9", FAKE)
    one = found()["mac"]
    assert one.state is State.ABSENT
    assert one.why == 'is not for this system: sys_platform == "no such"'
    assert "all" not in found()


def test_a_requirement_of_metalscope_itself_that_is_not_met_is_broken(install):
    install("metalscope", "9", "Requires-Dist: no-such-lib\n")
    one = found()["metalscope"]
    assert (one.state, one.why) == (State.BROKEN, "no-such-lib is not installed")
