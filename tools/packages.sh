#!/bin/sh
# Installs Debian packages where root and apt-get allow it: sh tools/packages.sh demo|test|venv
#   demo, test: the programs that the demo or the tests talk to. Without them the demo uses a
#               storage SCP of our own, and the tests that need them skip, saying so.
#   venv:       what Debian leaves out of Python.
set -u
missing=""
need() { command -v "$1" >/dev/null 2>&1 || missing="$missing $1"; }
need_file() { ls $1 >/dev/null 2>&1 || missing="$missing $2"; }
case "${1:-}" in
  demo)
    packages="orthanc dcmtk"
    need Orthanc; need storescu ;;
  test)
    packages="orthanc dcmtk dicom3tools pixelmed-apps libpixelmed-java poppler-utils postgresql"
    need Orthanc; need storescu; need dciodvfy; need java; need pdfinfo
    need_file '/usr/lib/postgresql/*/bin/initdb' initdb
    need_file /usr/share/java/pixelmed.jar pixelmed ;;
  venv)
    packages="python3-venv"
    missing=" python3-venv" ;;
  *)
    echo "usage: sh tools/packages.sh demo|test|venv" >&2
    exit 2 ;;
esac
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
  echo "not installed here:$missing (Debian packages: $packages); going on without" >&2
  exit 0
fi
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
{ apt-get update -qq && apt-get install -y -qq --no-install-recommends $packages; } >/dev/null 2>&1 \
  || echo "apt-get could not install $packages; going on without" >&2
exit 0
