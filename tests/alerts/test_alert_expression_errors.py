"""What is wrong with an expression is said at the word that is wrong."""

from __future__ import annotations

import pytest
from expression_texts import ANY_VECTOR, mutated
from hypothesis import given, settings
from hypothesis import strategies as st

from metalscope.alerts.expression import ExpressionError, check, compile_expression
from metalscope.alerts.expression.parsing import parse
from metalscope.alerts.expression.printing import duration_text, to_text
from metalscope.alerts.expression.trees import rewrite, walk, without_places
from metalscope.errors import MetalscopeError

WRONG = [
    # The marks are under what is wrong.
    ("", "^", "there is no expression"),
    ("# nothing", "         ^", "there is no expression"),
    ("foo)", "   ^", "expected an operator or the end, not ')'"),
    ("(foo", "    ^", "expected an operator or ')', not the end"),
    ("foo bar", "    ^^^", "expected an operator or the end, not 'bar'"),
    ("foo +", "     ^", "expected a metric, a function or a number, not the end"),
    ("foo * / 2", "      ^", "expected a metric, a function or a number, not '/'"),
    ("foo & 2", "    ^", "'&' is no part of an expression"),
    ("foo > 09", "      ^^", "write 09 without the 0 before it"),
    ("foo > 1e999", "      ^^^^^", "too large a number"),
    ("foo > 0xfffffffffffffffff", "      ^^^^^^^^^^^^^^^^^^^", "too large a number"),
    ("foo > 5x", "      ^^", "neither a number nor a duration"),
    ("foo > 5m", "      ^^", "a duration stands only in [ ] and after offset"),
    ("foo[5]", "    ^", "expected a duration such as 5m, not '5'"),
    ("foo[5m", "      ^", "expected ']', not the end"),
    ("changes(foo[0s])", "            ^^", "longer than 0"),
    ("changes(foo[99y])", "            ^^^", "further back than samples are ever kept"),
    ("foo offset 32d", "           ^^^", "further back than samples are ever kept"),
    ("changes(foo[1s1m])", "            ^^^^", "neither a number nor a duration"),
    ("foo[5m:1m]", "   ^^^^^^", "subqueries are not part of this language"),
    ("foo[5m:]", "   ^^^^", "subqueries are not part of this language"),
    ("foo @ 1", "    ^", "@ is not part of this language"),
    ("foo offset -5m", "           ^", "an offset looks back"),
    (
        "foo offset 5m offset 5m",
        "              ^^^^^^",
        "only a metric has an offset, and only one",
    ),
    ("sum(foo) offset 5m", "         ^^^^^^", "only a metric has an offset"),
    ("sum(foo)[5m]", "        ^", "only a metric has a range"),
    ("{a='b'}", "^", "name a metric before the braces"),
    ("foo{__name__='b'}", "    ^^^^^^^^", "name the metric itself"),
    ("foo{a}", "     ^", "expected =, !=, =~ or !~, not '}'"),
    ("foo{a=b}", "      ^", "expected a value in quotation marks, not 'b'"),
    ("foo{a='b' b='c'}", "          ^", "expected ',' or '}', not 'b'"),
    ("foo{a='b}", "      ^^^", "this text is not ended"),
    ("foo{a='\\q'}", "       ^^", "this escape is not known"),
    ("foo{a='\\ud800'}", "       ^^", "this escape is not known"),
    ("foo{a=~'('}", "       ^^^", "this is no regular expression: missing )"),
    ("'foo'", "^^^^^", "text stands only in matchers"),
    ("1 > 2", "  ^", "two scalars are compared with > bool"),
    ("foo + bool 2", "    ^", "bool stands only after a comparison"),
    ("foo and 2", "    ^^^", "and takes instant vectors on both sides"),
    ("foo == on (a) 2", "    ^^", "only two instant vectors are matched by labels"),
    ("foo and on(a) group_left() bar", "    ^^^", "and takes no group_left"),
    ("foo + group_left() bar", "      ^^^^^^^^^^", "expected on(…) or ignoring(…) before it"),
    ("foo + on(a) group_left(a) bar", "                       ^", "a is in on already"),
    ("foo + on a bar", "         ^", "expected labels in parentheses, not 'a'"),
    ("foo[5m] > 2", "^^^^^^^", "an operator takes no range vector"),
    ("-foo[5m]", "^", "a range vector has no sign"),
    ("foo atan2 bar", "    ^^^^^", "atan2 is not part of this language"),
    ("irate(foo[5m])", "^^^^^", "irate is not part of this language"),
    ("increse(foo[5m])", "^^^^^^^", "there is no function increse; did you mean increase?"),
    ("increase(foo)", "         ^^^", "takes a range vector here, not an instant vector"),
    ("abs(foo[5m])", "    ^^^^^^^", "takes an instant vector here, not a range vector"),
    ("abs(5)", "    ^", "takes an instant vector here, not a scalar"),
    ("clamp(foo, bar, 2)", "           ^^^", "takes a scalar here, not an instant vector"),
    ("clamp(foo, 2)", "^^^^^^^^^^^^^", "clamp takes an instant vector and a scalar and a scalar"),
    ("vector(time(2))", "       ^^^^^^^", "time takes nothing"),
    ("sum(foo,)", "        ^", "expected a metric, a function or a number, not ')'"),
    ("sum(foo, bar)", "^^^^^^^^^^^^^", "sum takes one instant vector"),
    ("topk(foo)", "^^^^^^^^^", "topk takes a number and an instant vector"),
    ("topk(foo, foo)", "     ^^^", "topk takes a scalar here"),
    ("sum by a (foo)", "       ^", "expected labels in parentheses, not 'a'"),
    ("sum by (a:b) (foo)", "        ^^^", "expected the name of a label, not 'a:b'"),
    ("sum by (__name__) (foo)", "        ^^^^^^^^", "__name__ is no label here"),
    ("unless", "^^^^^^", "unless is a word of the language"),
    # Rules give instant vectors.
    ("foo[5m]", "^^^^^^^", "must be an instant vector, not a range vector"),
    ("1 + 1", "^^^^^", "must be an instant vector, not a scalar"),
    # The catalogue is known.
    (
        "metal_error_total > 1",
        "^^^^^^^^^^^^^^^^^",
        "there is no metric metal_error_total; did you mean metal_errors_total?",
    ),
    ("metal_xyzzy", "^^^^^^^^^^^", "there is no metric metal_xyzzy"),
    (
        "metal_operation_duration_ms > 1",
        "^^^^^^^^^^^^^^^^^^^^^^^^^^^",
        "is a histogram; its series are metal_operation_duration_ms_bucket",
    ),
    (
        "metal_errors_total{kernel='x'}",
        "                   ^^^^^^",
        "metal_errors_total has no label kernel: it has device, kind, name, type",
    ),
    (
        "sum by (instance) (metal_errors_total)",
        "        ^^^^^^^^",
        "job and instance are put on by Prometheus, not in this process",
    ),
    ("sum by (nmae) (metal_errors_total)", "        ^^^^", "did you mean name?"),
    (
        "sum by (kind) (sum by (name) (metal_errors_total))",
        "        ^^^^",
        "has no label kind: it has name",
    ),
    (
        "metal_memory_usage_bytes / on(pool, kind) metal_memory_limit_bytes",
        "                                    ^^^^",
        "a side has no label kind: it has device, pool",
    ),
    (
        "metal_operation_duration_ms_bucket{le='100'} > 1",
        "                                   ^^",
        'no bucket has le="100"; write "100.0"',
    ),
    (
        "metal_operation_duration_ms_bucket{le='3'} > 1",
        "                                   ^^",
        'no bucket has le="3"; there are 0.01, ',
    ),
    (
        "histogram_quantile(0.9, metal_operation_duration_ms_count)",
        "                        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^",
        "takes the buckets of a histogram, with their label le",
    ),
    ("rate(metal_power_watts[5m])", "^^^^", "metal_power_watts is a gauge, which has no rate"),
    ("delta(metal_errors_total[5m])", "^^^^^", "is a counter, which has no delta; see increase"),
]


@pytest.mark.parametrize(("text", "marks", "what"), WRONG, ids=[case[0] for case in WRONG])
def test_an_error_points_at_the_word_that_is_wrong(text: str, marks: str, what: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        check(text)
    assert what in caught.value.what
    assert caught.value.pointed() == f"{text}\n{marks} {caught.value.what}"
    assert f"column {len(marks) - marks.count('^') + 1}" in str(caught.value)


def test_an_error_in_a_later_line_points_into_that_line() -> None:
    with pytest.raises(ExpressionError) as caught:
        check("sum(foo)  # all of it\n\t> bar(1)")
    assert "line 2, column 4" in str(caught.value)
    assert caught.value.pointed().startswith("\t> bar(1)\n\t  ^^^ ")
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, MetalscopeError)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 500 + "foo",
        "foo" + " + foo" * 500,
        "foo" + " ^ foo" * 500,
        "-" * 500 + "foo",
        "abs(" * 500,
        "foo{a=~'" + "(" * 5000 + "'}",
        "foo{a=~'a{99999999999}'}",
        "foo" * 20_000,
        "9" * 10_000 + " * foo",
        "changes(foo[" + "9" * 6000 + "d])",
    ],
)
def test_what_goes_too_deep_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError):
        check(text)


def test_a_rule_of_many_alternatives_is_not_too_deep() -> None:
    check(" or ".join(f'foo{{a="{number}"}}' for number in range(90)))


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.text(), st.text("gf()[]{},.:@#'\"\\`=~!<>+-*/%^ \n5mse0x"), mutated()))
def test_arbitrary_text_is_an_expression_or_an_expression_error(text: str) -> None:
    try:
        expression = compile_expression(text)
    except ExpressionError as error:
        wrong = error
    else:
        assert expression.metrics is not None
        return
    assert 0 <= wrong.span.start <= wrong.span.end <= len(text)
    assert wrong.pointed()


@settings(max_examples=100, deadline=None)
@given(st.one_of(ANY_VECTOR, mutated()))
def test_a_tree_as_text_is_read_as_the_same_tree(text: str) -> None:
    try:
        node = parse(text)
    except ExpressionError:
        return
    again = parse(to_text(node))
    # As texts: NaN is not equal to itself.
    assert repr(without_places(again)) == repr(without_places(node))
    assert to_text(again) == to_text(node)


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("sum(foo)by(a,b)>3", "sum by (a, b) (foo) > 3"),
        ("a+b*c", "a + b * c"),
        ("(a+b)*c", "(a + b) * c"),
        ("a-(b-c)", "a - (b - c)"),
        ("a^b^c", "a ^ b ^ c"),
        ("(a^b)^c", "(a ^ b) ^ c"),
        ("-a^2", "-a ^ 2"),
        ("(-a)^2", "(-a) ^ 2"),
        ("(-1)^2*a", "(-1) ^ 2 * a"),
        ("+foo", "foo"),
        ("foo{a='x\"y\\n',}", 'foo{a="x\\"y\\n"}'),
        ("foo OFFSET 90s", "foo offset 1m30s"),
        ("changes(foo[1w])", "changes(foo[7d])"),
        ("foo>bool on(a)group_left(b)bar", "foo > bool on (a) group_left (b) bar"),
        ("a and b or c unless d", "a and b or c unless d"),
        ("topk(3,foo)", "topk(3, foo)"),
        ("sum without () (foo)", "sum without () (foo)"),
        ("sum by () (foo)", "sum(foo)"),
        ("foo * 1e3 + 2.50 - 0x1F + Inf", "foo * 1000 + 2.5 - 31 + Inf"),
    ],
)
def test_expressions_are_written_in_one_way(written: str, canonical: str) -> None:
    assert to_text(parse(written)) == canonical
    assert to_text(parse(canonical)) == canonical


def test_durations_are_written_to_the_millisecond() -> None:
    assert [duration_text(s) for s in (0.5, 90, 3600, 90_061.001)] == [
        "500ms", "1m30s", "1h", "1d1h1m1s1ms",
    ]  # fmt: skip


def test_trees_are_walked_and_rewritten() -> None:
    node = parse('sum(increase(foo{a="x"}[5m])) > 3')
    assert [type(one).__name__ for one in walk(node)] == [
        "Binary", "Aggregation", "Call", "Range", "Selector", "Number",
    ]  # fmt: skip

    def renamed(one):
        return type(one)("bar", (), one.offset, one.span) if hasattr(one, "metric") else one

    assert to_text(rewrite(node, renamed)) == "sum(increase(bar[5m])) > 3"


def test_an_expression_says_what_it_looks_at() -> None:
    expression = compile_expression(
        "sum(increase(metal_errors_total[10m] offset 5m)) > on() sum(metal_power_watts)"
    )
    assert expression.metrics == ("metal_errors_total", "metal_power_watts")
    assert expression.longest == 900
    assert compile_expression("metal_power_watts > 5").longest == 0
    assert compile_expression("foo offset 1m").longest == 360
