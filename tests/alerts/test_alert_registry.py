from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from faulty_server import GOOD, answer, faulty_server
from mail_server import mail_server

from alert_samples import MESSAGE
from metalscope.alert_options import AlertsOptions, ChannelOptions, SmtpOptions
from metalscope.alerts.notify.alertmanager import AlertmanagerNotifier
from metalscope.alerts.notify.email import EmailNotifier
from metalscope.alerts.notify.registry import channels_of, create_notifier, notifiers_of
from metalscope.alerts.notify.testing import send_test
from metalscope.alerts.notify.webhook import WebhookNotifier
from metalscope.errors import ConfigurationError
from metalscope.sending.result import ExportResult, Reason, Verdict
from missing import without
from peers import free_port

SECRET = "a-token-nobody-guesses"
SLACK = f"https://hooks.slack.com/services/{SECRET}"


def options(*endpoints: str, channels: tuple[ChannelOptions, ...] = (), **more: Any) -> Any:
    return AlertsOptions(notification_endpoints=endpoints, channels=channels, **more)


def channel(name: str = "ops", **values: Any) -> ChannelOptions:
    return ChannelOptions(name=name, **values)


def told(given: AlertsOptions) -> list[tuple[str, str | None]]:
    return [(one.name, one.type) for one in channels_of(given)]


def refused(given: AlertsOptions) -> str:
    with pytest.raises(ConfigurationError) as caught:
        channels_of(given)
    assert SECRET not in str(caught.value)
    return str(caught.value)


def test_endpoints_are_channels_after_those_that_have_a_name() -> None:
    given = options(
        SLACK,
        "ops@example.com",
        "https://hooks.slack.com/services/other",
        "discord://id/token",
        channels=(channel("slack", target="https://example.com/hook"), channel(target="a@b,c@d")),
    )
    assert told(given) == [
        ("slack", "webhook"),
        ("ops", "email"),
        ("slack-2", "slack"),
        ("email", "email"),
        ("slack-3", "slack"),
        ("apprise", "apprise"),
    ]


def test_names_and_errors_show_nothing_secret() -> None:
    for one in channels_of(options(SLACK)):
        assert SECRET not in one.name + repr(one) + one.who


def test_a_type_is_known_whatever_its_case_and_goes_before_what_the_target_looks_like() -> None:
    given = options(
        channels=(
            channel("a", type="PagerDuty", target="0" * 32),
            channel("b", type="Alert-Manager", target="http://am:9093"),
            channel("c", type="webhook", target=SLACK),
        )
    )
    assert told(given) == [("a", "pagerduty"), ("b", "alertmanager"), ("c", "webhook")]


def test_a_key_of_pagerduty_may_be_kept_elsewhere() -> None:
    given = options(channels=(channel(type="pagerduty", api_key_from="env:PAGERDUTY_KEY"),))
    assert told(given) == [("ops", "pagerduty")]
    assert create_notifier(channels_of(given)[0], SmtpOptions())


def test_those_that_are_not_enabled_are_left_out_but_keep_their_name() -> None:
    off = channel("slack", type="slack", enabled=False)
    assert told(options(SLACK, channels=(off,))) == [("slack-2", "slack")]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (
            {"type": "slak", "target": SLACK},
            "type must be one of slack, teams, email, pagerduty, webhook, alertmanager, macos, "
            "apprise, not 'slak'; the nearest is slack",
        ),
        ({"type": "slack"}, "slack needs a target: the webhook's URL"),
        ({"type": "email", "target": " "}, "email needs a target: one or more addresses"),
        ({}, "needs a target, which says where its messages go"),
        ({"target": SECRET}, "its target is of no kind that is known; set type, too"),
        (
            {"target": "a@b", "headers": {"x-key": SECRET}},
            "headers is not for email: its server is set under alerts.smtp",
        ),
        (
            {"target": "tgram://1/2", "proxy": "http://proxy:3128"},
            "proxy is not for apprise: Apprise has its own HTTP, which its URL sets",
        ),
        (
            {"type": "alertmanager", "target": "http://am:9093", "title": "{{ severity }}"},
            "title is not for alertmanager: Alertmanager has templates of its own",
        ),
        (
            {"target": SLACK, "signing_key": SECRET},
            "signing_key is not for slack: only webhooks are signed",
        ),
    ],
)
def test_what_is_wrong_with_a_channel_names_it(given: dict[str, Any], says: str) -> None:
    assert refused(options(channels=(channel(**given),))) == f"alerts channel ops: {says}"


def test_the_same_endpoint_twice_is_told_by_place() -> None:
    assert refused(options("a@b", SLACK, SLACK)) == (
        "alerts.notification_endpoints[2] is the same as alerts.notification_endpoints[1]; "
        "name it once"
    )
    given = options(SLACK, channels=(channel(target=SLACK),))
    assert refused(given) == (
        "alerts.notification_endpoints[0] is the same as alerts channel ops; name it once"
    )


def test_an_endpoint_that_looks_like_none_is_told_by_place() -> None:
    with pytest.raises(ConfigurationError) as error:
        options("a@b", f"https://[{SECRET}"[:-1] + "/")
    said = str(error.value)
    assert "notification_endpoints[1] = '**********': must be the URL of a webhook" in said


def test_nobody_is_told_where_notifications_are_off() -> None:
    given = options("a@b", "https://example.com/hook")
    assert notifiers_of(given) == {}
    made = notifiers_of(given.model_copy(update={"enable_notifications": True}))
    assert {name: type(one) for name, one in made.items()} == {
        "email": EmailNotifier,
        "webhook": WebhookNotifier,
    }


@pytest.mark.parametrize(
    "target",
    [
        SLACK,
        "https://a.webhook.office.com/webhookb2/x",
        "a@b",
        "0" * 32,
        f"pagerduty://{'0' * 32}",
        "https://example.com/hook",
        "alertmanager+http://am:9093",
        "json://127.0.0.1:1",
    ],
)
def test_each_kind_of_target_makes_a_notifier_that_shows_no_secret(target: str) -> None:
    (one,) = channels_of(options(channels=(channel(target=target),)))
    made = create_notifier(one, SmtpOptions())
    assert target not in repr(made)
    assert made.forwards is isinstance(made, AlertmanagerNotifier)
    made.shutdown()


def test_channels_of_other_packages_are_known_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "theirs-1.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Name: theirs\nVersion: 1\n")
    (installed / "entry_points.txt").write_text(
        "[metalscope.notifiers]\npigeon = their_pigeon:Pigeon\nlost = their_pigeon:Nowhere\n"
    )
    (tmp_path / "their_pigeon.py").write_text(
        "from metalscope.alerts.notify.base import Notifier\n"
        "from metalscope.sending.result import ExportResult\n"
        "class Pigeon(Notifier):\n"
        "    def __init__(self, context): self.context = context\n"
        "    def send(self, notification):\n"
        "        if self.context.options.title: raise RuntimeError(self.context.options.endpoint)\n"
        "        return ExportResult.delivered(1)\n"
        "    def shutdown(self): raise RuntimeError('gone')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    given = options(
        channels=(
            channel("home", type="pigeon"),
            channel("ill", type="pigeon", title="x", target=f"coop://{SECRET}"),
            channel("lost", type="lost"),
        )
    )
    home, ill, lost = send_test(given)
    assert home == ("home", ExportResult.delivered(1))
    assert ill[1].reason is Reason.EXPORTER_ERROR
    assert ill[1].detail == "RuntimeError: …"
    assert lost[1].reason is Reason.CONFIGURATION
    assert "alerts channel lost: their_pigeon:Nowhere cannot be loaded" in lost[1].detail
    near = refused(options(channels=(channel(type="pigeons"),)))
    assert near.endswith("lost, pigeon, not 'pigeons'; the nearest is pigeon")


def test_a_test_goes_to_all_channels_at_once_whatever_becomes_of_one() -> None:
    with faulty_server(GOOD) as good, faulty_server(answer(404)) as lost, mail_server() as mail:
        given = options(
            f"{good.url}/hook",
            "ops@example.com",
            channels=(
                channel("lost", target=f"{lost.url}/hook"),
                channel("down", target=f"http://127.0.0.1:{free_port()}/"),
                channel("mac", type="macos") if sys.platform != "darwin" else channel("mac"),
            ),
            smtp=SmtpOptions(host="127.0.0.1", port=mail.port, sender="metal@example.com"),
        )
        results = dict(send_test(given, source="mac-studio"))
        alone = send_test(given, "webhook")
    assert list(results) == ["lost", "down", "mac", "webhook", "email"]
    assert results["webhook"].ok
    assert results["email"].ok
    assert results["lost"].reason is Reason.NOT_FOUND
    assert results["down"].reason is Reason.REFUSED
    assert (results["mac"].verdict, results["mac"].reason) == (
        Verdict.REJECTED,
        Reason.CONFIGURATION,
    )
    assert [name for name, _ in alone] == ["webhook"]
    assert len(good.requests) == 2
    assert "This is a test of metalscope; nothing is wrong" in mail.mails[0].text
    assert b'"kind":"test"' in good.requests[0].body.replace(b": ", b":")


def test_a_test_of_a_channel_that_is_not_there_says_which_are() -> None:
    given = options(SLACK, channels=(channel(target="a@b", enabled=False),))
    with pytest.raises(ConfigurationError, match=r"there is no alerts channel 'x'; .*: slack$"):
        send_test(given, "x")
    with pytest.raises(ConfigurationError, match=r"^alerts channel ops is not enabled$"):
        send_test(given, "ops")


def test_finding_out_which_channels_there_are_loads_no_library_of_any() -> None:
    code = (
        "import sys\n"
        "from metalscope.alert_options import AlertsOptions\n"
        "from metalscope.alerts.notify.registry import channels_of\n"
        f"channels_of(AlertsOptions(notification_endpoints=('a@b', 'json://x', {SLACK!r})))\n"
        "print(sorted({'apprise', 'jinja2', 'smtplib', 'urllib3'} & set(sys.modules)))\n"
    )
    assert _python(code) == "[]"


def test_without_apprise_its_channels_say_which_extra_is_missing() -> None:
    code = (
        "from metalscope.alert_options import AlertsOptions, ChannelOptions, SmtpOptions\n"
        "from metalscope.alerts.notify.registry import create_notifier\n"
        "from metalscope.errors import MissingExtraError\n"
        "one = ChannelOptions(name='ops', type='apprise', target='json://x')\n"
        "try: create_notifier(one, SmtpOptions())\n"
        "except MissingExtraError as error: print(error.extra)\n"
    )
    assert _python(code, **without("apprise")) == "alerts"


def _python(code: str, **env: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": "/usr/bin:/bin"} | env,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_sample_of_every_part_goes_through_a_made_notifier() -> None:
    with faulty_server(GOOD) as peer:
        (one,) = channels_of(options(f"{peer.url}/hook"))
        made = create_notifier(one, SmtpOptions())
        assert made.send(MESSAGE).ok
        made.shutdown()
