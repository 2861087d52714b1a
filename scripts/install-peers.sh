#!/bin/sh
# The tests run against things metalscope did not write: metrics stores, a Vulkan driver, a browser,
# a terminal.
# On Debian and Ubuntu they are installed where they are missing and this user may install them.
set -eu

missing=""
need() { # PACKAGE PROBE...
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}
have_syslog_tls() { ls /usr/lib/*/rsyslog/lmnsd_ossl.so; }
have_vulkan() { ls /usr/share/vulkan/icd.d/lvp_icd*.json && ldconfig -p | grep -q libvulkan.so.1; }

if [ "$(uname -s)" = Darwin ]; then
    command -v prometheus >/dev/null || echo "tests: no prometheus; its tests are skipped (brew install prometheus)"
    command -v chromium >/dev/null || echo "tests: no chromium; browser tests are skipped (brew install --cask chromium)"
    exit 0
fi

need prometheus command -v prometheus
need prometheus-alertmanager command -v amtool
need prometheus-pushgateway command -v prometheus-pushgateway
need victoria-metrics command -v victoria-metrics
need chromium-headless-shell command -v chromium-headless-shell
need mesa-vulkan-drivers have_vulkan
need libvulkan1 have_vulkan
need rsyslog test -x /usr/sbin/rsyslogd
need rsyslog-openssl have_syslog_tls
need tmux command -v tmux
need systemd command -v systemd-analyze
need fonts-dejavu-core test -d /usr/share/fonts/truetype/dejavu
[ -n "$missing" ] || exit 0

as_root=""
[ "$(id -u)" = 0 ] || as_root="sudo -n"
if command -v apt-get >/dev/null && { [ -z "$as_root" ] || $as_root true 2>/dev/null; }; then
    echo "tests: installing$missing"
    export DEBIAN_FRONTEND=noninteractive
    $as_root apt-get update -qq
    # shellcheck disable=SC2086  # a list of packages
    $as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null
else
    echo "tests: missing$missing; what needs them is skipped, or fails where CI is set"
fi
