//! The operator's command that makes and removes the DNS records of DNS-01: `HOOK add NAME VALUE`, `HOOK remove NAME VALUE`.

use std::{path::Path, process::Stdio, time::Duration};

use tokio::{io::AsyncReadExt as _, process::Command};

use crate::trouble::said;

/// How long the command may take: it ends once the domain's servers answer with the record.
const HOOK_TIMEOUT: Duration = Duration::from_secs(300);
/// What of its output is read, for the error.
const MAX_OUTPUT_BYTES: u64 = 16 * 1024;

/// What the command is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Make the TXT record, and wait until it is seen.
    Add,
    /// Remove it.
    Remove,
}

/// Runs the command for a name's record. The error says what the command wrote.
pub async fn run(hook: &Path, act: Act, name: &str, value: &str) -> Result<(), String> {
    run_within(HOOK_TIMEOUT, hook, act, name, value).await
}

async fn run_within(limit: Duration, hook: &Path, act: Act, name: &str, value: &str) -> Result<(), String> {
    let shown = hook.display();
    let word = if act == Act::Add { "add" } else { "remove" };
    // Not through a shell: what an authority sends is an argument, never a command.
    let mut child = Command::new(hook)
        .args([word, &format!("_acme-challenge.{name}"), value])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("the DNS hook {shown} can't be run: {error}"))?;
    let mut output = Vec::new();
    let stderr = child.stderr.take().map(|stderr| stderr.take(MAX_OUTPUT_BYTES));
    let work = async {
        if let Some(mut stderr) = stderr {
            let _ = stderr.read_to_end(&mut output).await;
            // What it writes beyond that must not stop it.
            let _ = tokio::io::copy(&mut stderr.into_inner(), &mut tokio::io::sink()).await;
        }
        child.wait().await
    };
    let ended = tokio::time::timeout(limit, work).await;
    match ended {
        Err(_) => Err(format!("the DNS hook {shown} did not end within {} s", limit.as_secs())),
        Ok(Err(error)) => Err(format!("the DNS hook {shown}: {error}")),
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => {
            let wrote = said(String::from_utf8_lossy(&output).trim());
            Err(format!("the DNS hook {shown} failed for {name} ({status}): {wrote}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn hook(dir: &Path, script: &str) -> std::path::PathBuf {
        let file = dir.join("hook");
        std::fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        file
    }

    #[tokio::test]
    async fn the_command_gets_the_record_as_it_is_and_its_error_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let file = hook(dir.path(), &format!("printf '%s|' \"$@\" > {}", out.display()));
        run(&file, Act::Add, "mail.example.org", "a b;$(c)").await.unwrap();
        assert_eq!(std::fs::read_to_string(&out).unwrap(), "add|_acme-challenge.mail.example.org|a b;$(c)|");
        run(&file, Act::Remove, "x", "y").await.unwrap();
        assert_eq!(std::fs::read_to_string(&out).unwrap(), "remove|_acme-challenge.x|y|");

        let file = hook(dir.path(), "echo 'no such zone' >&2; exit 3");
        let why = run(&file, Act::Add, "a.example", "v").await.unwrap_err();
        assert!(why.contains("no such zone") && why.contains("a.example"), "{why}");
        assert!(run(&dir.path().join("none"), Act::Add, "a", "v").await.is_err());
        let file = hook(dir.path(), "exec sleep 600");
        assert!(run_within(Duration::from_millis(50), &file, Act::Add, "a", "v").await.is_err());
    }
}
