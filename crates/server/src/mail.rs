//! What carries letters to people. Without a mail server they go to a folder, where the owner finds them.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use futures_util::future::BoxFuture;
use store::Letter;
use tokio::fs::{File, OpenOptions};
use tokio::io::AsyncWriteExt;

/// Carries letters.
pub trait Mail: Send + Sync {
    /// Sends a letter, or keeps it.
    fn send<'a>(&'a self, letter: &'a Letter) -> BoxFuture<'a, Result<(), MailError>>;

    /// Whether letters would be taken, as far as that can be known without one: asked once, at start.
    fn check(&self) -> BoxFuture<'_, Result<(), MailError>>;
}

/// A letter did not go out.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// The folder of letters.
    #[error("the letter could not be written into the outbox")]
    Outbox(#[source] std::io::Error),
    /// The mail server. A login that it refuses is the owner's to mend, so such a letter waits.
    #[error("the mail server did not take the letter")]
    Server(#[source] mail_send::Error),
}

impl MailError {
    /// Whether trying again is no use: the mail server knows nobody of that address.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Server(mail_send::Error::UnexpectedReply(reply)) => {
                (500..600).contains(&reply.code()) && !matches!(reply.code(), 530 | 534 | 535 | 538)
            }
            Self::Server(_) | Self::Outbox(_) => false,
        }
    }
}

/// A folder that letters are written into, one file each, readable by its owner alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outbox {
    folder: PathBuf,
}

impl Outbox {
    /// An outbox in this folder, which is made when it is needed.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }
}

impl Mail for Outbox {
    fn send<'a>(&'a self, letter: &'a Letter) -> BoxFuture<'a, Result<(), MailError>> {
        Box::pin(async move {
            tokio::fs::create_dir_all(&self.folder).await.map_err(MailError::Outbox)?;
            // Names sort by time; the address is part of the name only in letters that no path needs.
            let to: String = letter.to.chars().filter(|c| c.is_ascii_alphanumeric() || "@.-_".contains(*c)).collect();
            let text = format!(
                "To: {}\r\nSubject: {}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{}\r\n",
                letter.to, letter.subject, letter.body
            );
            let start = format!("{}-{}", letter.at.micros(), to.trim_start_matches('.'));
            let mut file = create(&self.folder, &start).await.map_err(MailError::Outbox)?;
            file.write_all(text.as_bytes()).await.map_err(MailError::Outbox)?;
            file.flush().await.map_err(MailError::Outbox)?;
            Ok(())
        })
    }

    fn check(&self) -> BoxFuture<'_, Result<(), MailError>> {
        Box::pin(async { tokio::fs::create_dir_all(&self.folder).await.map_err(MailError::Outbox) })
    }
}

/// Makes a new file whose name begins so, which its owner alone can read. Two letters of one moment have two files.
async fn create(folder: &Path, start: &str) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    options.mode(0o600);
    for number in 0..1000 {
        match options.open(folder.join(format!("{start}-{number}.eml"))).await {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            opened => return opened,
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}
