//! Letters to people. Without a mail server they go to a folder, where the owner finds them.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use futures_util::future::BoxFuture;
use platform::Timestamp;
use tokio::fs::{File, OpenOptions};
use tokio::io::AsyncWriteExt;

/// A letter to one person: plain text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// The address.
    pub to: String,
    /// The subject, one line.
    pub subject: String,
    /// The text.
    pub body: String,
    /// When it was written.
    pub at: Timestamp,
}

/// Carries letters.
pub trait Mail: Send + Sync {
    /// Sends a letter, or keeps it.
    fn send<'a>(&'a self, letter: &'a Letter) -> BoxFuture<'a, Result<(), MailError>>;
}

/// A letter did not go out.
#[derive(Debug, thiserror::Error)]
#[error("the letter could not be sent")]
pub struct MailError(#[source] pub std::io::Error);

/// A folder that letters are written into, one file each, readable by its owner alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outbox {
    folder: PathBuf,
}

impl Outbox {
    /// An outbox in this folder, which is made when the first letter comes.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }
}

impl Mail for Outbox {
    fn send<'a>(&'a self, letter: &'a Letter) -> BoxFuture<'a, Result<(), MailError>> {
        Box::pin(async move {
            tokio::fs::create_dir_all(&self.folder).await.map_err(MailError)?;
            // Names sort by time; the address is part of the name only in letters that no path needs.
            let to: String = letter.to.chars().filter(|c| c.is_ascii_alphanumeric() || "@.-_".contains(*c)).collect();
            let text = format!(
                "To: {}\r\nSubject: {}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{}\r\n",
                letter.to, letter.subject, letter.body
            );
            let start = format!("{}-{}", letter.at.micros(), to.trim_start_matches('.'));
            let mut file = create(&self.folder, &start).await.map_err(MailError)?;
            file.write_all(text.as_bytes()).await.map_err(MailError)?;
            file.flush().await.map_err(MailError)?;
            Ok(())
        })
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
