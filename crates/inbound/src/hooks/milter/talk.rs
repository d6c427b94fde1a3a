//! The connection to a milter, and what was agreed at its beginning.

use delivery::JudgeError;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::super::endpoint::Stream;
use super::packet::{Command, MAX_PACKET_BYTES, Response, packet};

/// The version that we speak.
const VERSION: u32 = 6;
/// The oldest version that is understood.
const OLDEST: u32 = 2;
/// `SMFIF_ADDHDRS` and `SMFIF_QUARANTINE`: all that a milter may do besides deciding.
const ACTIONS: u32 = 0x1 | 0x20;
/// All steps that a milter may not want or not answer, `SMFIP_SKIP`, and `SMFIP_HDR_LEADSPC`.
const STEPS: u32 = 0xF_F3FF | SKIP | LEADING_SPACE;
const NO_DATA: u32 = 0x200;
const SKIP: u32 = 0x400;
const LEADING_SPACE: u32 = 0x10_0000;
/// Packets that say that the milter still works, before it has to be done.
const MAX_PROGRESS: usize = 1_000;

/// A connection to a milter.
pub struct Talk {
    stream: Box<dyn Stream>,
    steps: u32,
}

fn failed(error: &std::io::Error) -> JudgeError {
    JudgeError(format!("the connection to the milter failed: {error}"))
}

impl Talk {
    /// Agrees on what is told and what may be done.
    pub async fn begin(stream: Box<dyn Stream>) -> Result<Self, JudgeError> {
        let mut talk = Self { stream, steps: 0 };
        let offer: Vec<u8> = [VERSION, ACTIONS, STEPS].into_iter().flat_map(u32::to_be_bytes).collect();
        talk.write(&packet(b'O', &offer)).await?;
        let Response::Options { version, actions, steps } = talk.response().await? else {
            return Err(JudgeError("the milter didn't answer with its options".to_owned()));
        };
        if !(OLDEST..=VERSION).contains(&version) {
            return Err(JudgeError(format!("the milter speaks version {version} of the protocol")));
        }
        if actions & !ACTIONS != 0 || steps & !STEPS != 0 {
            return Err(JudgeError(format!(
                "the milter wants more than it may: actions {actions:#x}, steps {steps:#x}"
            )));
        }
        // DATA is a step since version 4.
        talk.steps = if version < 4 { steps | NO_DATA } else { steps };
        Ok(talk)
    }

    /// Tells macros that belong to the next command of a letter.
    pub async fn macros(&mut self, letter: char, macros: &[(&str, &str)]) -> Result<(), JudgeError> {
        let mut data = vec![letter as u8];
        for (name, value) in macros {
            for text in [name, value] {
                data.extend(text.bytes().filter(|&byte| byte != 0));
                data.push(0);
            }
        }
        self.write(&packet(b'D', &data)).await
    }

    /// Says something, and waits for what the milter says to it; `None` if it wants no such command or doesn't answer it.
    pub async fn ask(&mut self, command: &Command<'_>) -> Result<Option<Response>, JudgeError> {
        let (_, unwanted, unanswered) = command.kind();
        if self.steps & unwanted != 0 {
            return Ok(None);
        }
        self.send(command).await?;
        if self.steps & unanswered != 0 {
            return Ok(None);
        }
        self.response().await.map(Some)
    }

    /// Says something.
    pub async fn send(&mut self, command: &Command<'_>) -> Result<(), JudgeError> {
        let packet = command.packet(self.steps & LEADING_SPACE != 0);
        self.write(&packet).await
    }

    async fn write(&mut self, packet: &[u8]) -> Result<(), JudgeError> {
        self.stream.write_all(packet).await.map_err(|error| failed(&error))?;
        self.stream.flush().await.map_err(|error| failed(&error))
    }

    /// The next response, however long the milter says that it still works.
    pub async fn response(&mut self) -> Result<Response, JudgeError> {
        for _ in 0..MAX_PROGRESS {
            let length = self.stream.read_u32().await.map_err(|error| failed(&error))?;
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            if !(1..=MAX_PACKET_BYTES).contains(&length) {
                return Err(JudgeError(format!("the milter sent a packet of {length} bytes")));
            }
            let mut data = vec![0; length];
            self.stream.read_exact(&mut data).await.map_err(|error| failed(&error))?;
            match Response::read(data[0], &data[1..])? {
                Response::Progress => {}
                response => return Ok(response),
            }
        }
        Err(JudgeError("the milter only says that it still works".to_owned()))
    }
}
