# CloudLink as a task that starts with Windows, without anybody logged in, and again if it fails. It needs no further software.
# Open PowerShell as administrator in CloudLink's folder:
#
#   powershell -ExecutionPolicy Bypass -File deploy\windows\install.ps1
#
# Everything is in the folder of -Folder: the program, cloudlink.toml, plugins, cloudlink.db and the log.

param(
    [string]$Folder = "$env:ProgramData\CloudLink",
    [string]$Python = "py"
)

$ErrorActionPreference = "Stop"

function Run([string]$Program, [string[]]$Words) {
    & $Program @Words
    if ($LASTEXITCODE -ne 0) { throw "$Program $($Words -join ' ') failed with $LASTEXITCODE." }
}

New-Item -ItemType Directory -Force -Path $Folder | Out-Null
Run $Python @("-m", "venv", "$Folder\program")
Run "$Folder\program\Scripts\python.exe" @("-m", "pip", "install", "--quiet", "--upgrade", ".")

# The account "local service" may use the network and little else; give it the folder.
Run "icacls" @($Folder, "/inheritance:r", "/grant", "*S-1-5-18:(OI)(CI)F", "/grant", "*S-1-5-32-544:(OI)(CI)F", "/grant", "*S-1-5-19:(OI)(CI)M")

$command = "/d /c `"`"$Folder\program\Scripts\cloudlink.exe`" serve >> `"$Folder\cloudlink.log`" 2>&1`""
$action = New-ScheduledTaskAction -Execute "$env:SystemRoot\System32\cmd.exe" -Argument $command -WorkingDirectory $Folder
$trigger = New-ScheduledTaskTrigger -AtStartup
$account = New-ScheduledTaskPrincipal -UserId "NT AUTHORITY\LocalService" -LogonType ServiceAccount
$settings = New-ScheduledTaskSettingsSet -RestartCount 999 -RestartInterval (New-TimeSpan -Minutes 1) -ExecutionTimeLimit ([TimeSpan]::Zero) -AllowStartIfOnBatteries -DontStopIfGoingOnBatteries -MultipleInstances IgnoreNew
Register-ScheduledTask -TaskName "CloudLink" -Action $action -Trigger $trigger -Principal $account -Settings $settings -Force | Out-Null
Start-ScheduledTask -TaskName "CloudLink"

Write-Output "CloudLink runs. Its log is $Folder\cloudlink.log."
Write-Output "Stop it with Stop-ScheduledTask CloudLink; remove it with Unregister-ScheduledTask CloudLink."
