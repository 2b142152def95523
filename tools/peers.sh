#!/bin/sh
# Installs the programs that the demo or the tests talk to, where Debian packages and root allow it.
# Without them the demo uses a storage SCP of our own, and the tests that need them skip, saying so.
set -u
case "${1:-test}" in
  demo) packages="orthanc dcmtk"; programs="Orthanc storescu" ;;
  *)    packages="orthanc dcmtk dicom3tools pixelmed-apps libpixelmed-java postgresql"
        programs="Orthanc storescu dciodvfy java runuser" ;;
esac
missing=""
for program in $programs; do
  command -v "$program" >/dev/null 2>&1 || missing="$missing $program"
done
[ "${1:-test}" = demo ] || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$missing initdb"
[ "${1:-test}" = demo ] || [ -e /usr/share/java/pixelmed.jar ] || missing="$missing pixelmed"
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
