# Writes the kernelspec of "Java 25 (QLoRA)" for the current user on Windows.
#   powershell -ExecutionPolicy Bypass -File kernels\install.ps1 [-Java DIR]
param([string]$Java = $env:JQLORA_JAVA_HOME, [string]$Name = "java-qlora")
$ErrorActionPreference = "Stop"

$repo = (Resolve-Path (Join-Path $PSScriptRoot "..")).Path
if (-not $Java) {
    $Java = @($env:JAVA_HOME) + (Get-ChildItem "$env:ProgramFiles\Eclipse Adoptium", "$env:ProgramFiles\Java" -Directory -ErrorAction SilentlyContinue |
        ForEach-Object FullName) | Where-Object { $_ -and (Test-Path "$_\release") -and (Select-String -Quiet 'JAVA_VERSION="25' "$_\release") } | Select-Object -First 1
}
if (-not $Java) { throw "no JDK 25 found; install one (winget install EclipseAdoptium.Temurin.25.JDK) or pass -Java DIR" }
if (-not (Get-Command mvn -ErrorAction SilentlyContinue)) { throw "mvn not found; install Maven from https://maven.apache.org/download.cgi and put its bin folder on PATH" }

$work = Join-Path $repo ".jqlora"
New-Item -ItemType Directory -Force $work | Out-Null
$classPathFile = Join-Path $work "dependencies.txt"
$env:JAVA_HOME = $Java
Push-Location $repo
try {
    & mvn -q -B -ntp -DskipTests compile dependency:build-classpath "-Dmdep.outputFile=$classPathFile" "-Dmdep.includeScope=runtime"
    if ($LASTEXITCODE -ne 0) { throw "mvn failed with exit code $LASTEXITCODE" }
} finally { Pop-Location }

$specDir = Join-Path $env:APPDATA "jupyter\kernels\$Name"
if ((Test-Path $specDir) -and -not (Test-Path "$specDir\installed-by-jqlora")) { throw "$specDir exists and is not ours; choose another -Name or remove it" }
New-Item -ItemType Directory -Force $specDir | Out-Null
$template = Join-Path $PSScriptRoot "spec\java-qlora"
$values = @{ JAVA = "$Java\bin\java.exe"; SPEC_DIR = $specDir; HOME = $repo; DISPLAY_NAME = "Java 25 (QLoRA)"; OPTIONS = ""
             CLASS_PATH = "$repo\target\classes;" + (Get-Content -Raw $classPathFile).Trim() }
$utf8 = New-Object System.Text.UTF8Encoding $false
foreach ($file in "kernel.json", "kernel.args") {
    $text = Get-Content -Raw (Join-Path $template "$file.in")
    $text = $text.Replace('"/bin/sh", "@SPEC_DIR@/kernel.sh", "@JAVA@", "@SPEC_DIR@/kernel.args"', '"@JAVA@", "@@SPEC_DIR@/kernel.args"')   # no shell here
    foreach ($key in $values.Keys) { $text = $text.Replace("@$key@", $values[$key].Replace("\", "\\")) }
    [System.IO.File]::WriteAllText((Join-Path $specDir $file), ($text -replace "(?m)^\r?\n", ""), $utf8)
}
Copy-Item (Join-Path $template "logo-*") $specDir
[System.IO.File]::WriteAllText((Join-Path $specDir "installed-by-jqlora"), "jqlora $repo`n", $utf8)
Write-Output "kernel `"Java 25 (QLoRA)`" is in $specDir"
