#!/bin/sh
# Installs Debian packages where root and apt-get allow it: sh tools/packages.sh demo|test|venv
#   demo, test: the programs that the demo or the tests talk to. Without them the demo uses a
#               storage SCP of our own, and the tests that need them skip, saying so.
#   venv:       what Debian leaves out of Python.
# Only what is missing is installed: "need PROGRAM PACKAGES" and "need_file PATTERN PACKAGES".
set -u
missing=""
need() { program=$1; shift; command -v "$program" >/dev/null 2>&1 || missing="$missing $*"; }
need_file() { pattern=$1; shift; ls $pattern >/dev/null 2>&1 || missing="$missing $*"; }
case "${1:-}" in
  demo)
    need Orthanc orthanc
    need storescu dcmtk ;;
  test)
    need Orthanc orthanc
    need storescu dcmtk
    need openssl openssl
    need dciodvfy dicom3tools
    need java pixelmed-apps libpixelmed-java
    need_file /usr/share/java/pixelmed.jar pixelmed-apps libpixelmed-java
    need pdfinfo poppler-utils
    need_file '/usr/lib/postgresql/*/bin/initdb' postgresql
    # Checks the alert rules.
    need promtool prometheus
    # A file system whose power is cut.
    need mkfs.xfs xfsprogs
    # The viewer in a browser: its pages come from npm.
    need_file '/usr/share/orthanc/plugins/libOrthancDicomWeb.so' orthanc-dicomweb
    need chromium chromium
    need npm nodejs npm ;;
  venv)
    missing=" python3-venv" ;;
  *)
    echo "usage: sh tools/packages.sh demo|test|venv" >&2
    exit 2 ;;
esac
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
  echo "not installed here (Debian packages):$missing; going on without" >&2
  exit 0
fi
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
install() { apt-get install -y -qq --no-install-recommends "$@" >/dev/null 2>&1; }
apt-get update -qq >/dev/null 2>&1
# One that cannot be had must not keep the others away.
install $missing || for package in $missing; do
  install "$package" || echo "apt-get could not install $package; going on without" >&2
done
exit 0
