"""Templates write messages; wrong ones are found at the start, and none can do harm."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from dataclasses import replace

import pytest
from receivers import MANY, OVER, TEST

from alert_samples import FIRING, MESSAGE, PENDING, RESOLVED
from metalscope.alert_options import AlertsOptions, ChannelOptions
from metalscope.alerts.notification import Notification
from metalscope.alerts.notify import template_sandbox
from metalscope.alerts.notify.default_wording import DefaultWording
from metalscope.alerts.notify.registry import notifiers_of
from metalscope.alerts.notify.templates import MAX_OUTPUT, MAX_TEMPLATE, TemplateWording, wording_of
from metalscope.errors import ConfigurationError
from missing import without

usual = DefaultWording()


def written(body: str, message: Notification = MESSAGE) -> str:
    return wording_of(ChannelOptions(name="ops", body=body)).body(message)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ source }} {{ severity }} {{ status }} {{ kind }}", "mac-studio high firing firing"),
        ("{{ notification.group.component }}, {{ links.dashboard }}", "kernel, http://127.0.0.1:9464/"),
        ("{% for a in firing %}{{ a.title }}{% endfor %}", "attention failed 7 times in 5m"),
        ("{{ alerts|length }} {{ firing|length }} {{ resolved|length }}", "1 1 0"),
        ("{% for a in firing %}\n  {{ a.rule }}!\n{% endfor %}", "  MetalKernelFailures!"),
        ("{% for a in alerts %}{{ a.labels.name }}{{ a.labels.nope }}{% endfor %}", "attention"),
        ("{{ links.nope }}{{ notification.group.nope }}{{ source }}", "mac-studio"),
        ("{{ alerts|map(attribute='rule')|join(', ') }}", "MetalKernelFailures"),
        ("{% for a in alerts %}{{ a.fired_at|time }}{% endfor %}", "2026-01-01 11:58:00 UTC"),
        ("{% for a in alerts %}{{ a.fired_at|time('%H:%M') }}{% endfor %}", "11:58"),
        ("{% for a in alerts %}{{ a.fired_at|duration }}{% endfor %}", "2m"),
        ("{% for a in alerts %}{{ a.active_since|duration(a.fired_at) }}{% endfor %}", "1m"),
        ("{{ 3700|duration }} {{ none|duration }} {{ none|time }}", "1h1m — —"),
        ("{{ 123456789|bytes }} {{ 88.44|percent }} {{ none|percent }}", "117.7 MiB 88.4 % —"),
        ("{{ (1 + 2) * 3 - 4 / 2 }} {{ 7 // 2 }} {{ 7 % 4 }} {{ 2 ** 8 }}", "7.0 3 3 256"),
        ("{{ [1, 2]|sum }} {{ 'a-b'|replace('-', '+') }} {{ 'x'|indent(2, true) }}", "3.0 a+b   x"),
        ("{{ {'a': 1}|tojson }} {{ ('a' ~ 'b')|upper }} {{ [1] + [2] }}", '{"a": 1} AB [1, 2]'),
        ("{% set x %}y{% endset %}{{ x }}{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1) }}", "y1"),
        ("{% for a in alerts %}{{ loop.index }}{{ loop.last }}{% endfor %}", "1True"),
        ("{{ default_title }}", usual.title(MESSAGE)),
        ("<b>{{ '<i>&' }}</b>", "<b><i>&</b>"),
    ],
)  # fmt: skip
def test_a_template_writes_what_it_says(template: str, text: str) -> None:
    assert written(template) == text


def test_it_may_stand_for_the_title_alone_or_put_the_usual_words_in_its_own() -> None:
    wording = wording_of(ChannelOptions(name="ops", title="{{ severity|upper }}\n!"))
    assert wording.title(MESSAGE) == "HIGH !"
    assert wording.body(MESSAGE) == usual.body(MESSAGE)
    assert written("Hello.\n{{ default_body }}") == f"Hello.\n{usual.body(MESSAGE)}"


def test_the_usual_words_go_through_a_template_unchanged() -> None:
    for message in (MESSAGE, OVER, TEST, MANY):
        assert written("{{ default_body }}", message)[:10_000] == usual.body(message)[:10_000]


@pytest.mark.parametrize(
    ("template", "line", "what"),
    [
        ("{{ nope }}", 1, "'nope' is undefined"),
        ("a\n\n{{ alerts[0].titel }}", 3, "no attribute 'titel'"),
        ("\n{% for x in %}", 2, "Expected an expression"),
        ("{% if x %}", 1, "Unexpected end of template"),
        ("{{ 'x'|nofilter }}", 1, "No filter named 'nofilter'"),
        ("\n{{ none|round }}", 2, "TypeError"),
        ("{% include 'other' %}", 1, "nothing to include"),
        ("{% if status == 'resolved' %}\n{{ wrong }}{% endif %}", 2, "'wrong' is undefined"),
        ("{{ 'yesterday'|time }}", 1, "ValueError"),
    ],
)
def test_a_wrong_template_is_found_at_the_start(template: str, line: int, what: str) -> None:
    for option in ("title", "body"):
        channel = ChannelOptions.model_validate(
            {"name": "ops", "type": "webhook", "target": "https://h.example/", option: template}
        )
        options = AlertsOptions(enable_notifications=True, channels=(channel,))
        with pytest.raises(ConfigurationError) as caught:
            notifiers_of(options)
        text = str(caught.value)
        begin = f"alerts channel ops: {option} is no usable template, line {line}: "
        assert text.startswith(begin)
        assert what in text


def test_a_template_that_is_too_long_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=f"body must have at most {MAX_TEMPLATE}"):
        written("x" * (MAX_TEMPLATE + 1))


@pytest.mark.parametrize(
    "attack",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ ''['__class__'] }}",
        "{{ ''|attr('__class__') }}",
        "{{ notification.__init__.__globals__ }}",
        "{{ range.__globals__ }}",
        "{{ self.__init__ }}",
        "{{ cycler.__init__.__globals__.os }}",
        "{{ lipsum.__globals__ }}",
        "{{ notification.pop('id') }}",
        "{{ alerts.append(1) }}",
        "{{ alerts.clear() }}",
        "{{ '{0.__class__}'.format(1) }}",
        "{{ '{a.__class__}'.format_map({'a': 1}) }}",
        "{{ alerts|map(attribute='__class__')|first }}",
        "{{ [['x', 1]]|map(attribute='0.__class__.__mro__')|list }}",
        "{{ alerts|sort(attribute='__class__') }}",
        "{% macro m() %}{% endmacro %}{{ m.__call__.__globals__ }}",
        "{% for a in alerts %}{{ loop.__init__.__globals__ }}{% endfor %}",
        "{% import 'os' as os %}",
    ],
)
def test_no_template_gets_at_pythons_insides(attack: str) -> None:
    with pytest.raises(ConfigurationError, match="is no usable template"):
        written(attack)


@pytest.mark.parametrize(
    "attack",
    [
        "{% for a in range(999) %}{% for b in range(999) %}{% endfor %}{% endfor %}",
        "{% for a in range(10 ** 9) %}{% endfor %}",
        "{% macro f(n) %}{{ f(n) }}{{ f(n) }}{% endmacro %}{{ f(1) }}",
        "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(99) }}",
        "{% macro f(s) %}{{ f(s ~ s) }}{% endmacro %}{{ f('aaaaaaaa') }}",
        "{% for a in alerts recursive %}{{ loop(alerts) }}{% endfor %}",
        "{{ 'x' * 10 ** 9 }}",
        "{{ [0] * 10 ** 9 }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ '%999999999d' % 1 }}",
        "{{ '{:>999999999}'.format(1) }}",
        "{{ 'a'|center(999999999) }}",
        "{{ 'a'.center(999999999) }}",
        "{{ 'a'|format }}",
        "{{ [1]|batch(999999999, 'x')|list }}",
        "{{ lipsum(n=100000) }}",
        "{% set a = 'aaaaaaaaaa' %}" + "{% set a = a ~ a %}" * 60,
        "{% set a %}aaaaaaaaaa{% endset %}" + "{% set a %}{{ a }}{{ a }}{% endset %}" * 60,
        "{% set a = [1] %}" + "{% set a = a + a %}" * 60,
        "{% set a = [1] %}" + "{% set a = [a, a] %}" * 60 + "{{ a }}",
        "{% set a = (1,) %}" + "{% set a = (a, a) %}" * 60 + "{{ a }}",
        "{% set a = {} %}" + "{% set a = {1: a, 2: a} %}" * 60 + "{{ a }}",
        "{% set a = 99 %}" + "{% set a = a * a %}" * 60,
        "{% set a = 'xxxxxxxx' %}" + "{% set a = a|replace('x', a) %}" * 60,
        "{% set a = 'xxxxxxxx' %}" + "{% set a = [a, a, a]|join(a) %}" * 60,
    ],
)
def test_no_template_runs_or_grows_without_end(attack: str) -> None:
    with pytest.raises(ConfigurationError, match="is no usable template"):
        written(attack)


def test_time_is_limited_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_sandbox, "MAX_SECONDS", -1.0)
    with pytest.raises(ConfigurationError, match="it takes longer than"):
        written("{% for a in alerts %}{% endfor %}")


def test_what_is_too_long_is_cut() -> None:
    text = written("{% for a in range(1000) %}0123456789 0123456789\n{% endfor %}")
    assert MAX_OUTPUT // 2 < len(text) <= MAX_OUTPUT
    assert text.endswith("…")


def test_one_that_fails_only_later_is_replaced_by_the_usual_words_and_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    wording = wording_of(ChannelOptions(name="ops", body="{{ alerts[0].value|round }}"))
    assert isinstance(wording, TemplateWording)
    assert wording.body(MESSAGE) == "7.0"
    odd = replace(MESSAGE, alerts=(replace(PENDING, value=None),))
    with caplog.at_level(logging.WARNING, "metalscope"):
        for _ in range(3):
            assert wording.body(odd) == usual.body(odd)
    (record,) = caplog.records
    assert record.getMessage().startswith(
        "alerts channel ops: body failed, and the usual words were sent: TypeError"
    )
    assert wording.failures == 3
    assert wording.body(MESSAGE) == "7.0"


def test_a_title_of_nothing_is_replaced() -> None:
    wording = wording_of(ChannelOptions(name="ops", title="{% if severity == 'low' %}x{% endif %}"))
    assert wording.title(MESSAGE) == usual.title(MESSAGE)


def test_a_template_of_much_is_quick_enough_for_a_large_message() -> None:
    template = "{% for a in alerts %}{{ a.title }} {{ a.labels|dictsort }}\n{% endfor %}"
    assert written(template, MANY).count("attention") >= 40
    assert written(template, OVER).startswith(RESOLVED.title)
    assert written(template, replace(MESSAGE, alerts=(FIRING,) * 200))


_PROGRAM = """
from metalscope.alert_options import ChannelOptions
from metalscope.alerts.notify.templates import wording_of
from metalscope.errors import MissingExtraError
import sys
wording_of(ChannelOptions(name="ops"))
assert "jinja2" not in sys.modules
try:
    wording_of(ChannelOptions(name="ops", body="x"))
except MissingExtraError as error:
    print(error)
"""


def test_without_jinja2_the_error_says_what_to_install() -> None:
    env = {**os.environ, **without("jinja2")}
    ended = subprocess.run(
        [sys.executable, "-c", _PROGRAM], env=env, capture_output=True, text=True, check=True
    )
    assert "pip install 'metalscope[alerts]'" in ended.stdout
