//! Small scanners that speak the real protocols.

use std::sync::Arc;

use inbound::hooks::Endpoint;
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};

pub struct Fake {
    dir: TempDir,
    heard: Arc<Mutex<Vec<String>>>,
}

/// A packet of a milter: its letter and data.
pub struct Packet(pub u8, pub Vec<u8>);

impl Fake {
    #[expect(clippy::unused_async, reason = "binding needs a runtime")]
    async fn start<F>(serve: impl Fn(UnixStream, Arc<Mutex<Vec<String>>>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = std::io::Result<()>> + Send + 'static,
    {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("socket")).unwrap();
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        let all = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&all)));
            }
        });
        Self { dir, heard }
    }

    pub fn endpoint(&self) -> Endpoint {
        Endpoint::Unix(self.dir.path().join("socket"))
    }

    pub fn heard(&self) -> Vec<String> {
        self.heard.lock().clone()
    }

    /// Takes everything and says nothing.
    pub async fn silent() -> Self {
        Self::start(|mut stream, _| async move { tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.map(drop) })
            .await
    }

    /// Hangs up.
    pub async fn closing() -> Self {
        Self::start(|_, _| async { Ok(()) }).await
    }

    pub async fn clamd() -> Self {
        Self::start(|mut stream, _| async move {
            let mut command = [0; 10];
            stream.read_exact(&mut command).await?;
            assert_eq!(&command, b"zINSTREAM\0");
            let mut message = Vec::new();
            loop {
                let length = stream.read_u32().await? as usize;
                if length == 0 {
                    break;
                }
                let begin = message.len();
                message.resize(begin + length, 0);
                stream.read_exact(&mut message[begin..]).await?;
                if String::from_utf8_lossy(&message).contains("TOO LARGE") {
                    return stream.write_all(b"INSTREAM size limit exceeded. ERROR\0").await;
                }
            }
            let is_bad = String::from_utf8_lossy(&message).contains("EICAR");
            stream.write_all(if is_bad { b"stream: Eicar-Test FOUND\0" } else { b"stream: OK\0" }).await
        })
        .await
    }

    /// Answers with the action that is the message's text.
    pub async fn rspamd() -> Self {
        Self::start(|mut stream, heard| async move {
            let mut request = Vec::new();
            let (head, length) = loop {
                assert_ne!(stream.read_buf(&mut request).await?, 0);
                let text = String::from_utf8_lossy(&request).into_owned();
                let Some((head, _)) = text.split_once("\r\n\r\n") else { continue };
                let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok());
                break (head.to_owned(), length.expect("a length"));
            };
            while request.len() < head.len() + 4 + length {
                assert_ne!(stream.read_buf(&mut request).await?, 0);
            }
            heard.lock().push(head.replace("\r\n", "\n"));
            let text = String::from_utf8_lossy(&request).into_owned();
            let action = text.trim_end().lines().last().unwrap();
            // As it answers when one of its rules decided before the others were asked.
            let (skipped, action) = action.strip_prefix("at once: ").map_or((false, action), |action| (true, action));
            let status = if action == "STATUS 500" { "500 Bad" } else { "200 OK" };
            let body = if action == "NO JSON" {
                "?".to_owned()
            } else {
                format!(
                    "{{\"is_skipped\":{skipped},\"score\":5.2,\"required_score\":15,\"action\":\"{action}\",\"symbols\":{{\
                     \"SMALL\":{{\"name\":\"SMALL\",\"score\":1.2}},\"BIG\":{{\"score\":-4}}}},\"messages\":{{}},\"time_real\":0.1}}"
                )
            };
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nServer: rspamd\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await
        })
        .await
    }

    /// Answers each packet as `answer` says; the options with those of a milter that wants everything told and answers
    /// everything, where `answer` says "go on".
    pub async fn milter(answer: impl Fn(u8, &[u8]) -> Vec<Packet> + Send + Sync + 'static) -> Self {
        let answer = Arc::new(answer);
        Self::start(move |mut stream, heard| {
            let answer = Arc::clone(&answer);
            async move {
                loop {
                    let length = stream.read_u32().await? as usize;
                    let mut packet = vec![0; length];
                    stream.read_exact(&mut packet).await?;
                    heard.lock().push(String::from_utf8_lossy(&packet).into_owned());
                    let (letter, data) = (packet[0], &packet[1..]);
                    if matches!(letter, b'D' | b'Q') {
                        continue;
                    }
                    for Packet(said, mut content) in answer(letter, data) {
                        let said = if letter == b'O' && said == b'c' {
                            content = b"\0\0\0\x06\0\0\0\x21\0\x10\0\0".to_vec();
                            b'O'
                        } else {
                            said
                        };
                        stream.write_u32(u32::try_from(content.len() + 1).unwrap()).await?;
                        stream.write_u8(said).await?;
                        stream.write_all(&content).await?;
                    }
                }
            }
        })
        .await
    }
}
