#!/usr/bin/env bash
# Builds the suite where its sources are newer than the built program, then runs it. See README.md.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

if ! command -v dotnet >/dev/null || ! dotnet --version >/dev/null 2>&1; then
  echo "The .NET SDK $(sed -n 's/.*"version": "\(.*\)".*/\1/p' global.json) or a later 10.0 is missing. Install it and put dotnet on PATH." >&2
  exit 2
fi

stamp=artifacts/build.stamp
if [[ ! -e $stamp ]] || [[ -n $(find build tests ./*.props ./*.targets global.json Rollout.slnx -newer "$stamp" -type f \
    -not -path '*/bin/*' -not -path '*/obj/*' -not -name '*.pyc' -print -quit) ]]; then
  mkdir -p artifacts
  echo 'Building …' >&2
  if ! dotnet build Rollout.slnx --configuration Release --nologo --verbosity quiet >artifacts/build.log 2>&1; then
    cat artifacts/build.log >&2
    exit 1
  fi
  touch "$stamp"
fi

exec build/Rollout/bin/Release/net10.0/Rollout "$@"
