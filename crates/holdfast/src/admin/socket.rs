//! The admin socket: how a `holdfast` command reaches the serving process.
//!
//! A Unix socket in the data folder, readable by its owner only. A client writes one line of JSON, a
//! [`Request`]; the server answers with lines of JSON, [`Reply`]s, the last of which is `Done`.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::mpsc,
};
use tokio_util::sync::CancellationToken;

use crate::{
    cli::AdminCommand,
    failure::Failure,
    output::{Output, Reply},
};

/// The longest request line: a command with paths and a password.
const MAX_REQUEST_BYTES: u64 = 64 * 1024;
/// Lines on their way to a client before a command waits for it.
const LINES_IN_FLIGHT: usize = 64;

/// The path of a data folder's socket.
pub fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("admin.sock")
}

/// Binds the socket of a data folder whose lock this process holds.
pub fn bind(data_dir: &Path) -> anyhow::Result<UnixListener> {
    let path = path(data_dir);
    // We own the data folder's lock, so a socket that is there is a dead process's.
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).with_context(|| format!("admin socket {}", path.display()))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// What a client writes.
#[derive(Debug, Serialize, Deserialize)]
struct Request {
    command: AdminCommand,
    /// Whether programs read the output.
    #[serde(default)]
    json: bool,
}

/// Runs a command from any source.
pub type Executor =
    dyn Fn(AdminCommand, Output) -> futures_util::future::BoxFuture<'static, anyhow::Result<()>> + Send + Sync;

/// Serves admin commands until shut down.
pub async fn serve(
    listener: UnixListener,
    data_dir: PathBuf,
    executor: Arc<Executor>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    loop {
        let stream = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "admin socket failed");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        let executor = executor.clone();
        tokio::spawn(async move {
            if let Err(error) = answer(&executor, stream).await {
                tracing::warn!(%error, "admin command failed");
            }
        });
    }
    let _ = std::fs::remove_file(path(&data_dir));
    Ok(())
}

async fn answer(executor: &Arc<Executor>, stream: UnixStream) -> anyhow::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut request = String::new();
    BufReader::new(read.take(MAX_REQUEST_BYTES)).read_line(&mut request).await?;
    let Request { command, json } = match serde_json::from_str(&request) {
        Ok(request) => request,
        Err(error) => {
            let refusal = format!(
                "the running service is Holdfast {} and does not know this command ({error}): restart the service to \
                 run the installed version",
                env!("CARGO_PKG_VERSION")
            );
            write.write_all(serialized(&Reply::Done(Some(Failure::of(&anyhow::anyhow!(refusal)))))?.as_bytes()).await?;
            return Ok(());
        }
    };
    let (lines, mut received) = mpsc::channel::<Reply>(LINES_IN_FLIGHT);
    let output = Output::new(lines, json);
    let executor = executor.clone();
    let task = tokio::spawn(async move {
        let outcome = executor(command, output.clone()).await;
        output.done(outcome.err().map(|error| Failure::of(&error))).await;
    });
    while let Some(line) = received.recv().await {
        write.write_all(serialized(&line)?.as_bytes()).await?;
    }
    task.await?;
    Ok(())
}

fn serialized(reply: &Reply) -> anyhow::Result<String> {
    Ok(serde_json::to_string(reply)? + "\n")
}

/// Sends a command to the serving process; `None` if there is none.
pub async fn ask(
    data_dir: &Path,
    command: &AdminCommand,
    json: bool,
    mut show: impl FnMut(Reply),
) -> Option<anyhow::Result<()>> {
    let stream = UnixStream::connect(path(data_dir)).await.ok()?;
    let request = Request { command: command.clone(), json };
    Some(converse(stream, &request, &mut show).await)
}

async fn converse(mut stream: UnixStream, request: &Request, show: &mut impl FnMut(Reply)) -> anyhow::Result<()> {
    let text = serde_json::to_string(request)? + "\n";
    stream.write_all(text.as_bytes()).await?;
    let mut lines = BufReader::new(stream).lines();
    while let Some(line) = lines.next_line().await? {
        match serde_json::from_str(&line)? {
            Reply::Done(None) => return Ok(()),
            Reply::Done(Some(failure)) => return Err(failure.into()),
            reply => show(reply),
        }
    }
    bail!("the service stopped before the command finished; run it again once the service is running")
}
