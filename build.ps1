# Builds the suite where its sources are newer than the built program, then runs it. See README.md.
$ErrorActionPreference = 'Stop'
Set-Location $PSScriptRoot

$sdk = (Get-Content global.json -Raw | ConvertFrom-Json).sdk.version
$found = if (Get-Command dotnet -ErrorAction SilentlyContinue) { & dotnet --version 2>$null; $LASTEXITCODE -eq 0 } else { $false }
if (-not $found) {
    [Console]::Error.WriteLine("The .NET SDK $sdk or a later 10.0 is missing. Install it and put dotnet on PATH.")
    exit 2
}

$stamp = 'artifacts/build.stamp'
$sources = Get-ChildItem -Recurse -File build, tests, *.props, *.targets, global.json, Rollout.slnx |
    Where-Object { $_.FullName -notmatch '[\\/](bin|obj)[\\/]' }
if (-not (Test-Path $stamp) -or ($sources | Where-Object LastWriteTimeUtc -gt (Get-Item $stamp).LastWriteTimeUtc | Select-Object -First 1)) {
    New-Item -ItemType Directory -Force artifacts | Out-Null
    [Console]::Error.WriteLine('Building …')
    & dotnet build Rollout.slnx --configuration Release --nologo --verbosity quiet *> artifacts/build.log
    if ($LASTEXITCODE -ne 0) {
        Get-Content artifacts/build.log | ForEach-Object { [Console]::Error.WriteLine($_) }
        exit 1
    }
    Set-Content $stamp ''
}

$program = if ($IsWindows) { 'Rollout.exe' } else { 'Rollout' }
& (Join-Path $PSScriptRoot "build/Rollout/bin/Release/net10.0/$program") @args
exit $LASTEXITCODE
