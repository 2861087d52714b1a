"""Texts of expressions, over the series g, f, c_total and h_bucket with the labels a, b and le."""

from __future__ import annotations

from hypothesis import strategies as st

Texts = st.SearchStrategy[str]

LABELS = st.sampled_from(["a", "b"])
LABEL_LISTS = st.lists(LABELS, max_size=2, unique=True).map(", ".join)
DURATIONS = st.sampled_from(["15s", "30s", "45s", "1m", "1m30s", "2m"])
OFFSETS = st.sampled_from(["", "", "", " offset 15s", " offset 1m"])
NUMBERS = st.sampled_from(
    ["0", "1", "2", "-1", "0.25", "3", "1e2", ".5", "0x10", "50", "-7.75", "Inf", "-Inf", "NaN"]
)
EXACT_NUMBERS = st.sampled_from(["0", "1", "2", "-1", "0.25", "-7.75", "50", "0x10", "1e2"])
MATCHERS = st.sampled_from(
    ['a="x"', 'b!="1"', 'a=~"x|y"', 'a!~"z.*"', 'b=""', 'c=""', "b='2'", "a=~`[xz]`", 'a="x",b="1"']
)


@st.composite
def selectors(draw: st.DrawFn) -> str:
    name = draw(st.sampled_from(["g", "f"]))
    matchers = draw(st.lists(MATCHERS, max_size=1))
    return name + (f"{{{','.join(matchers)}}}" if matchers or draw(st.booleans()) else "")


@st.composite
def instants(draw: st.DrawFn) -> str:
    return draw(selectors()) + draw(OFFSETS)


@st.composite
def ranges(draw: st.DrawFn) -> str:
    return f"{draw(selectors())}[{draw(DURATIONS)}]{draw(OFFSETS)}"


@st.composite
def over_time(draw: st.DrawFn, functions: list[str]) -> str:
    return f"{draw(st.sampled_from(functions))}({draw(ranges())})"


EXACT_OVER_TIME = over_time(
    [
        "min_over_time", "max_over_time", "sum_over_time", "count_over_time", "last_over_time",
        "present_over_time", "changes", "resets",
    ]
)  # fmt: skip


@st.composite
def counted(draw: st.DrawFn) -> str:
    """Where a counter is there all the time and at the window's ends, Prometheus is exact too."""
    function = draw(st.sampled_from(["increase", "rate", "delta"]))
    if function == "delta":
        return f'delta(c_total{{a="x"}}[{draw(DURATIONS)}])'
    return f"{function}(c_total[{draw(DURATIONS)}]{draw(OFFSETS)})"


@st.composite
def grouping(draw: st.DrawFn) -> str:
    word = draw(st.sampled_from(["by", "without", "by", "BY"]))
    return f" {word} ({draw(LABEL_LISTS)}) "


@st.composite
def aggregations(draw: st.DrawFn, operators: list[str], operands: Texts) -> str:
    operator, operand = draw(st.sampled_from(operators)), draw(operands)
    match draw(st.integers(0, 2)):
        case 0:
            return f"{operator}({operand})"
        case 1:
            return f"{operator}{draw(grouping())}({operand})"
        case _:
            return f"{operator}({operand}){draw(grouping())}"


@st.composite
def matchings(draw: st.DrawFn, *, sets: bool) -> str:
    if draw(st.integers(0, 2)) == 0:
        return ""
    on = draw(st.booleans())
    labels = draw(st.lists(LABELS, max_size=2, unique=True))
    text = f" {'on' if on else 'ignoring'} ({', '.join(labels)})"
    if sets or draw(st.booleans()):
        return text
    include = [one for one in draw(st.lists(LABELS, max_size=1)) if not on or one not in labels]
    side = draw(st.sampled_from(["group_left", "group_right"]))
    return f"{text} {side} ({', '.join(include)})"


@st.composite
def binaries(draw: st.DrawFn, operators: list[str], operands: Texts, *, sets: bool = False) -> str:
    operator = draw(st.sampled_from(operators))
    left, right = draw(operands), draw(operands)
    returns_bool = " bool" if operator in COMPARISONS and draw(st.booleans()) else ""
    return f"({left}) {operator}{returns_bool}{draw(matchings(sets=sets))} ({right})"


@st.composite
def with_numbers(draw: st.DrawFn, operators: list[str], operands: Texts, numbers: Texts) -> str:
    operator = draw(st.sampled_from(operators))
    returns_bool = " bool" if operator in COMPARISONS and draw(st.booleans()) else ""
    vector, number = draw(operands), draw(numbers)
    sides = (f"({vector})", number) if draw(st.booleans()) else (number, f"({vector})")
    return f"{sides[0]} {operator}{returns_bool} {sides[1]}"


COMPARISONS = ["==", "!=", ">", "<", ">=", "<="]
SETS = ["and", "or", "unless", "AND"]


def exact(parts: Texts) -> Texts:
    """What has no rounding, so that what jumps, such as floor and ``==``, may be made of it."""
    return st.one_of(
        aggregations(["sum", "min", "max", "count", "group"], parts),
        with_numbers(["+", "-", "*", *COMPARISONS], parts, EXACT_NUMBERS),
        with_numbers(COMPARISONS, parts, NUMBERS),
        binaries(["+", "-", *COMPARISONS], parts),
        binaries(SETS, parts, sets=True),
        parts.map(lambda one: f"-({one})"),
        parts.map(lambda one: f"abs({one})"),
        parts.map(lambda one: f"floor(({one}) * 0.5)"),
        parts.map(lambda one: f"ceil(({one}) / 4)"),
        parts.map(lambda one: f"round({one})"),
        parts.map(lambda one: f"round({one}, 0.5)"),
        parts.map(lambda one: f"({one}) % 8"),
        parts.map(lambda one: f"clamp({one}, -5, 50)"),
        parts.map(lambda one: f"clamp_min({one}, 3.5)"),
        parts.map(lambda one: f"clamp_max({one}, 20)"),
        parts.map(lambda one: f"absent({one})"),
        parts.map(lambda one: f"vector(scalar({one}))"),
        parts.map(lambda one: f"({one}) * scalar(g{{a='x',b='1'}})"),
    )


EXACT = st.recursive(
    st.one_of(
        instants(), EXACT_OVER_TIME, instants().map(lambda one: f"absent({one})"),
        st.just("vector(time())"), st.just("c_total"),
    ),
    exact,
    max_leaves=4,
)  # fmt: skip


def rough(parts: Texts) -> Texts:
    """What may differ in the last digits."""
    either = st.one_of(EXACT, parts)
    functions = ["sqrt", "exp", "ln", "log2", "log10", "abs"]
    return st.one_of(
        aggregations(["avg", "sum", "min", "max"], either),
        # Not of NaN or Inf: Prometheus 2.42 says that a single one deviates by 0.
        aggregations(["stddev"], st.one_of(instants(), EXACT_OVER_TIME)),
        st.tuples(aggregations(["avg"], either), NUMBERS).map(
            lambda pair: (
                pair[0].replace("avg(", f"quantile({pair[1]}, ", 1)
                if pair[0].startswith("avg(")
                else pair[0]
            )
        ),
        with_numbers(["+", "-", "*", "/", "^"], either, NUMBERS),
        binaries(["+", "*", "/", "^"], either),
        binaries(["or", "unless", "and"], either, sets=True),
        st.tuples(st.sampled_from(functions), either).map(lambda pair: f"{pair[0]}({pair[1]})"),
    )


@st.composite
def ranked(draw: st.DrawFn) -> str:
    """Of values that all differ, as it is not said which of two equal ones is taken."""
    operator, count = draw(st.sampled_from(["topk", "bottomk"])), draw(st.integers(-1, 4))
    text = f"{operator}({count}, {draw(instants())})"
    return text + (draw(grouping()) if draw(st.booleans()) else "")


@st.composite
def quantiles(draw: st.DrawFn) -> str:
    q = draw(st.sampled_from(["0", "0.5", "0.9", "0.99", "1", "-1", "2", "NaN"]))
    match draw(st.integers(0, 2)):
        case 0:
            return f"histogram_quantile({q}, h_bucket)"
        case 1:
            of = draw(st.sampled_from(["sum by (le) (rate(h_bucket[1m]))", 'h_bucket{le!="0.5"}']))
            return f"histogram_quantile({q}, {of})"
        case _:
            return f"quantile_over_time({q}, {draw(ranges())})"


ANY_VECTOR = st.one_of(
    EXACT,
    EXACT,
    st.recursive(
        st.one_of(
            over_time(["avg_over_time", "stddev_over_time"]), counted(), ranked(), quantiles()
        ),
        rough,
        max_leaves=3,
    ),
)


@st.composite
def chains(draw: st.DrawFn) -> str:
    """Numbers with operators between them and no parentheses: what binds first is the question."""
    numbers = st.sampled_from(["1", "2", "3", "0.5", "-2", "--3", "+4", "- 1", "-2 ^ 2"])
    text = draw(numbers)
    for operator in draw(
        st.lists(
            st.sampled_from(["+", "-", "*", "/", "%", "^", "== bool", "< bool", ">= bool"]),
            min_size=1,
            max_size=6,
        )
    ):
        text += f" {operator} {draw(numbers)}"
    return f"vector({text})"


@st.composite
def set_chains(draw: st.DrawFn) -> str:
    """The same with vectors."""
    text = draw(instants())
    operators = st.sampled_from(["and", "or", "unless", "+", ">", "*", "== bool", "- on(a, b)"])
    for operator in draw(st.lists(operators, min_size=1, max_size=5)):
        text += f" {operator} {draw(instants())}"
    return text


_PIECES = [
    "(", ")", "[", "]", "{", "}", ",", "5m", "5", "-", "+", "*", "^", "==", "=", "!=", "=~", "bool",
    "by", "on", "(a)", "group_left", "offset", "sum", "g", "and", "rate", "'x'", ".5", "1e3", "0x",
    "#", "\n", " ", ":", "@", "inf", "time()", "1h1m", "unless", "without", "topk", "_", "5ms", "%",
]  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """An expression in which a piece or two were taken out, put in or put elsewhere."""
    text = draw(st.one_of(ANY_VECTOR, set_chains(), chains()))
    for _ in range(draw(st.integers(1, 2))):
        place = draw(st.integers(0, len(text)))
        length = draw(st.integers(0, 3))
        text = text[:place] + draw(st.sampled_from(["", *_PIECES])) + text[place + length :]
    return text
