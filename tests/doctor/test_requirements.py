"""Requirements are read as packaging reads them, on all that is installed here."""

from __future__ import annotations

import operator
from importlib.metadata import distributions

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement as Known
from packaging.version import Version as KnownVersion

from metalscope.doctor.requirements import Requirement, Unmet, Version, unmet

LINES = sorted({line for one in distributions() for line in one.requires or ()})
EXTRAS = ("", "cpu", "server", "dev", "test", "docs")


def test_there_is_something_to_compare():
    assert len(LINES) > 100


def test_every_requirement_installed_here_is_read_as_packaging_reads_it():
    read = 0
    for line in LINES:
        known = Known(line)
        try:
            ours = Requirement.of(line)
            applies = {extra: ours.applies(extra) for extra in EXTRAS}
        except ValueError:
            continue
        read += 1
        assert (ours.name, set(ours.extras)) == (known.name, known.extras), line
        assert set(ours.bounds) == {(one.operator, one.version) for one in known.specifier}, line
        for extra in EXTRAS if known.marker is not None else ("",):
            expected = known.marker is None or known.marker.evaluate({"extra": extra})
            assert applies[extra] is expected, (line, extra)
    # What is beyond the grammar known here is refused, and that is little.
    assert read > 0.9 * len(LINES)


def test_metalscopes_own_requirements_are_all_read():
    from importlib.metadata import requires

    for line in requires("metalscope") or ():
        assert Requirement.of(line).applies("no such extra") in {True, False}


COMPARED = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}

numbers = st.lists(st.integers(0, 30), min_size=1, max_size=4).map(
    lambda parts: ".".join(map(str, parts))
)
versions = st.tuples(numbers, st.sampled_from(["", "rc1", "a2", ".dev3", "+cpu"])).map("".join)


@given(versions, numbers, st.sampled_from([">=", "<", ">", "<=", "==", "!="]))
def test_versions_are_in_the_order_packaging_has_them_in(version, bound, how):
    ours = Requirement.of(f"x{how}{bound}")
    public = KnownVersion(KnownVersion(version).public)
    assert ours.admits(version) is COMPARED[how](public, KnownVersion(bound))


@pytest.mark.parametrize(
    "line", ["", "x @ https://a/b", "x>=1.*", "x~=1.0", "x; sys_platform", "x; a.b == 'c'"]
)
def test_what_is_beyond_the_grammar_is_refused(line):
    with pytest.raises(ValueError, match=r"cannot read"):
        Requirement.of(line).applies("")


def test_what_is_no_version_is_refused():
    with pytest.raises(ValueError, match="no version"):
        Version.of("main")


def test_a_requirement_is_unmet_where_nothing_is_installed_or_something_older(install):
    install("some-lib", "1.2")
    assert list(unmet(Requirement.of("some-lib>=1"))) == []
    assert list(unmet(Requirement.of("some-lib>=2"))) == [Unmet("some-lib", ">=2", "1.2")]
    assert list(unmet(Requirement.of("no-such-lib"))) == [Unmet("no-such-lib", "", None)]


def test_the_extras_of_a_library_are_part_of_a_requirement(install):
    install("outer", "1", "Provides-Extra: cpu\nRequires-Dist: no-such-lib==1; extra == 'cpu'\n")
    assert list(unmet(Requirement.of("outer"))) == []
    assert list(unmet(Requirement.of("outer[cpu]"))) == [Unmet("no-such-lib", "==1", None)]
