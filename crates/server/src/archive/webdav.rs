//! Archives into a folder of a WebDAV server (RFC 4918), such as a cloud of one's own: `PROPFIND` and `MKCOL` for the folder, `PUT` under
//! another name and `MOVE` for the archive, so that nobody finds half of one there, `DELETE` for what did not arrive.

use bytes::Bytes;
use futures_util::stream::BoxStream;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::redirect::Policy;
use reqwest::{Body, Client, Method, RequestBuilder, Response, StatusCode, Url};
use serde::{Deserialize, Serialize};
use store::{Destination, StoreError};

use crate::archive::Archivist;

/// Folders above an archive that are made at most.
const DEEPEST: usize = 16;

/// Who writes there; sealed in the destination's row.
#[derive(Clone, Deserialize, Serialize)]
pub struct WebDavSecret {
    /// How the server is told.
    pub login: WebDavLogin,
    /// Whether an operator set it, who may name addresses inside the network.
    #[serde(default)]
    pub by_operator: bool,
}

/// How a WebDAV server is told who writes.
#[derive(Clone, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WebDavLogin {
    /// RFC 7617.
    Basic {
        /// The user's name.
        user: String,
        /// Their password; best one for this alone.
        password: String,
    },
    /// RFC 6750.
    Bearer {
        /// The token.
        token: String,
    },
}

/// The address of a folder, as a destination keeps it: nothing behind the path, no password in it, a slash at its end. Nothing if it is
/// none.
pub fn webdav_folder(address: &str) -> Option<Url> {
    let mut url = Url::parse(address).ok()?;
    let plain =
        url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    if !plain || !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return None;
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Some(url)
}

/// A folder of a WebDAV server.
pub(crate) struct WebDav {
    client: Client,
    folder: Url,
    login: WebDavLogin,
}

impl WebDav {
    /// That of a destination.
    pub(crate) fn of(archivist: &Archivist, destination: &Destination) -> Result<Self, StoreError> {
        let unfit = |state: &str| StoreError::State { what: "destination", state: state.to_owned() };
        let secret = destination.secret.as_deref().and_then(|text| serde_json::from_str::<WebDavSecret>(text).ok());
        let WebDavSecret { login, by_operator } = secret.ok_or_else(|| unfit("without its password"))?;
        let folder = webdav_folder(&destination.place).ok_or_else(|| unfit("no address"))?;
        let client = if by_operator {
            // `reqwest` leaves the choice of cryptography to the process. A choice that was made before stays.
            let _ = rustls::crypto::ring::default_provider().install_default();
            Client::builder().redirect(Policy::none()).no_proxy().build().map_err(failed)?
        } else {
            let client = archivist.outbound.bucket_client(Some(&destination.place));
            client.map_err(|error| unfit(&format!("out of reach: {error}")))?
        };
        Ok(Self { client, folder, login })
    }

    /// Writes an archive of so many bytes, unless it is there already: whole, or not at all.
    pub(crate) async fn write(
        &self,
        name: &str,
        size_bytes: u64,
        bytes: BoxStream<'static, Result<Bytes, StoreError>>,
    ) -> Result<(), StoreError> {
        self.make_folder().await?;
        let unfinished = self.file(&format!("{name}.unfinished"))?;
        let sent = self
            .ask(Method::PUT, &unfinished)
            // Some servers take no body whose length they do not know.
            .header(CONTENT_LENGTH, size_bytes)
            .header(CONTENT_TYPE, "application/zip")
            .body(Body::wrap_stream(bytes));
        let moved = async {
            expect(sent.send().await, &[200, 201, 204])?;
            if self.size_of(&unfinished).await? != Some(size_bytes) {
                return Err(refused("another length of what was sent"));
            }
            let to = self.file(name)?;
            let request =
                self.ask(method("MOVE"), &unfinished).header("destination", to.as_str()).header("overwrite", "T");
            expect(request.send().await, &[201, 204]).map(|_| ())
        };
        let moved = moved.await;
        if moved.is_err() {
            // If this does not work either, the next attempt writes over it.
            let _ = self.ask(Method::DELETE, &unfinished).send().await;
        }
        moved
    }

    /// Whether an archive of so many bytes is there.
    pub(crate) async fn has(&self, name: &str, size_bytes: u64) -> Result<bool, StoreError> {
        Ok(self.size_of(&self.file(name)?).await? == Some(size_bytes))
    }

    /// Makes the folder, and those above it that are missing.
    async fn make_folder(&self) -> Result<(), StoreError> {
        let mut missing = Vec::new();
        let mut folder = self.folder.clone();
        while !self.is_folder(&folder).await? {
            let above = folder.join("..").map_err(failed)?;
            if above == folder || missing.len() == DEEPEST {
                return Err(refused("no folder of this address"));
            }
            missing.push(std::mem::replace(&mut folder, above));
        }
        for folder in missing.iter().rev() {
            // 405: another was quicker.
            expect(self.ask(method("MKCOL"), folder).send().await, &[200, 201, 405])?;
        }
        Ok(())
    }

    async fn is_folder(&self, folder: &Url) -> Result<bool, StoreError> {
        let answer = self.ask(method("PROPFIND"), folder).header("depth", "0").send().await;
        Ok(expect(answer, &[207, 404, 409])?.status() == StatusCode::MULTI_STATUS)
    }

    /// How long a file is; nothing if there is none.
    async fn size_of(&self, file: &Url) -> Result<Option<u64>, StoreError> {
        let answer = expect(self.ask(Method::HEAD, file).send().await, &[200, 204, 404, 409])?;
        let length = answer.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        Ok(length.filter(|_| answer.status().is_success()))
    }

    fn file(&self, name: &str) -> Result<Url, StoreError> {
        self.folder.join(name).map_err(failed)
    }

    fn ask(&self, method: Method, url: &Url) -> RequestBuilder {
        let request = self.client.request(method, url.clone());
        match &self.login {
            WebDavLogin::Basic { user, password } => request.basic_auth(user, Some(password)),
            WebDavLogin::Bearer { token } => request.bearer_auth(token),
        }
    }
}

/// A method of WebDAV's own.
fn method(word: &'static str) -> Method {
    Method::from_bytes(word.as_bytes()).expect("these are letters")
}

/// An answer with one of these states.
fn expect(answer: Result<Response, reqwest::Error>, good: &[u16]) -> Result<Response, StoreError> {
    // Where it went is in the row, and not for the log.
    let answer = answer.map_err(|error| failed(error.without_url()))?;
    match good.contains(&answer.status().as_u16()) {
        true => Ok(answer),
        false => Err(refused(&format!("status {}", answer.status().as_u16()))),
    }
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Backup { step: "writing into the destination", source: std::io::Error::other(error) }
}

fn refused(what: &str) -> StoreError {
    StoreError::Backup {
        step: "writing into the destination",
        source: std::io::Error::other(format!("the server answered with {what}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_a_plain_address() {
        let folder = |address: &str| webdav_folder(address).map(String::from);
        assert_eq!(folder("https://cloud.example.org/dav/me").unwrap(), "https://cloud.example.org/dav/me/");
        assert_eq!(folder("https://cloud.example.org").unwrap(), "https://cloud.example.org/");
        for none in
            ["https://me:pass@cloud.example.org/", "ftp://cloud.example.org/", "https://a.example/?b", "cloud", "/dav"]
        {
            assert_eq!(folder(none), None, "{none}");
        }
    }
}
