//! Letters through a mail server: SMTP over TLS, with STARTTLS, or in clear to one on this machine.

use std::time::Duration;

use futures_util::future::BoxFuture;
use mail_send::mail_builder::MessageBuilder;
use mail_send::mail_builder::headers::raw::Raw;
use mail_send::{Credentials, SmtpClient, SmtpClientBuilder};
use store::Letter;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::mail::{Mail, MailError};

/// How long a letter may take, from the connection to the last word.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where letters go. `Debug` prints no password.
#[derive(Clone, PartialEq, Eq)]
pub struct SmtpPlace {
    /// The server's name or address; its certificate must say the same.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What keeps others from reading along.
    pub security: SmtpSecurity,
    /// Whom letters are from.
    pub from: Sender,
    /// Name and password, if the server asks for them.
    pub login: Option<(String, String)>,
}

/// Whom letters are from, as `you@example.org` or `Name <you@example.org>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    name: Option<String>,
    address: String,
}

/// What keeps others from reading along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpSecurity {
    /// Nothing: for a server on this machine.
    Plain,
    /// STARTTLS, without which nothing is said.
    StartTls,
    /// TLS from the first byte.
    Tls,
}

/// TLS cannot be set up at all, for want of root certificates for instance.
#[derive(Debug, thiserror::Error)]
#[error("letters cannot be sent over TLS: {0}")]
pub struct SmtpError(String);

/// A mail server. Each letter has a connection of its own.
#[derive(Clone)]
pub struct Smtp {
    builder: SmtpClientBuilder<String>,
    security: SmtpSecurity,
    from: Sender,
}

impl Sender {
    /// Reads whom letters are from. Nothing if it is neither form.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (name, address) = match text.strip_suffix('>').and_then(|text| text.rsplit_once('<')) {
            Some((name, address)) => {
                (Some(name.trim().trim_matches('"')).filter(|name| !name.is_empty()), address.trim())
            }
            None => (None, text),
        };
        let plain = |letter: char| letter.is_ascii_graphic() && !"<>,;:\"()".contains(letter);
        let fine = address.split_once('@').is_some_and(|(user, host)| {
            !user.is_empty() && !host.is_empty() && !host.contains('@') && address.chars().all(plain)
        });
        let named =
            name.is_none_or(|name| !name.contains(|letter: char| letter.is_control() || "<>\"".contains(letter)));
        (fine && named).then(|| Self { name: name.map(str::to_owned), address: address.to_owned() })
    }

    fn host(&self) -> &str {
        self.address.rsplit('@').next().unwrap_or_default()
    }
}

impl Smtp {
    /// A mail server. No connection is made before a letter is sent.
    ///
    /// # Errors
    /// [`SmtpError`].
    pub fn new(place: &SmtpPlace) -> Result<Self, SmtpError> {
        // The library leaves the choice of cryptography to the process. A choice that was made before stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = SmtpClientBuilder::new(place.host.clone(), place.port).map_err(SmtpError)?;
        let mut builder = builder.implicit_tls(place.security == SmtpSecurity::Tls).timeout(PATIENCE);
        if let Some((username, secret)) = place.login.clone() {
            builder = builder.credentials(Credentials::Plain { username, secret });
        }
        Ok(Self { builder, security: place.security, from: place.from.clone() })
    }

    async fn converse(&self, letter: Option<&Letter>) -> mail_send::Result<()> {
        match self.security {
            SmtpSecurity::Plain => say(self.builder.connect_plain().await?, &self.from, letter).await,
            SmtpSecurity::StartTls | SmtpSecurity::Tls => say(self.builder.connect().await?, &self.from, letter).await,
        }
    }

    async fn in_time(&self, letter: Option<&Letter>) -> Result<(), MailError> {
        let said = tokio::time::timeout(PATIENCE, self.converse(letter)).await;
        said.unwrap_or(Err(mail_send::Error::Timeout)).map_err(MailError::Server)
    }
}

/// Hands a letter over, or nothing, and says goodbye.
async fn say<S: AsyncRead + AsyncWrite + Unpin>(
    mut client: SmtpClient<S>,
    from: &Sender,
    letter: Option<&Letter>,
) -> mail_send::Result<()> {
    if let Some(letter) = letter {
        client.send(message(from, letter)).await?;
    }
    // The letter is taken; a server that does not say goodbye changes nothing.
    let _ = client.quit().await;
    Ok(())
}

fn message<'a>(from: &'a Sender, letter: &'a Letter) -> MessageBuilder<'a> {
    let message = match &from.name {
        Some(name) => MessageBuilder::new().from((name.as_str(), from.address.as_str())),
        None => MessageBuilder::new().from(from.address.as_str()),
    };
    message
        .to(letter.to.as_str())
        .subject(letter.subject.as_str())
        .date(letter.at.seconds())
        // The same at each attempt, so that a letter that came twice is seen to be one.
        .message_id(format!("{}@{}", letter.id, from.host()))
        .header("Auto-Submitted", Raw::new("auto-generated"))
        .text_body(letter.body.as_str())
}

impl Mail for Smtp {
    fn send<'a>(&'a self, letter: &'a Letter) -> BoxFuture<'a, Result<(), MailError>> {
        Box::pin(self.in_time(Some(letter)))
    }

    fn check(&self) -> BoxFuture<'_, Result<(), MailError>> {
        Box::pin(self.in_time(None))
    }
}

impl std::fmt::Debug for Smtp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Smtp({}, {:?})", self.builder.addr, self.security)
    }
}

impl std::fmt::Debug for SmtpPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SmtpPlace({}:{}, {:?})", self.host, self.port, self.security)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::crypto::ring::default_provider;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use rustls::{ClientConfig, RootCertStore, ServerConfig};
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::net::TcpListener;
    use tokio::task::JoinHandle;
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::*;

    /// Answers one connection until it is over; all that was said.
    async fn answer<S: AsyncRead + AsyncWrite + Unpin>(stream: S, greet: bool, tls: &str) -> (Vec<String>, Option<S>) {
        let mut stream = BufReader::new(stream);
        let mut said = Vec::new();
        if greet {
            stream.write_all(b"220 localhost\r\n").await.unwrap();
        }
        let mut letter = false;
        loop {
            stream.flush().await.unwrap();
            let mut line = String::new();
            if !matches!(stream.read_line(&mut line).await, Ok(1..)) {
                return (said, None);
            }
            let line = line.trim_end().to_owned();
            said.push(line.clone());
            let answer = match (letter, line.split(' ').next().unwrap_or_default()) {
                (true, ".") => "250 taken",
                (true, _) => continue,
                (false, "EHLO") => tls,
                (false, "STARTTLS") => {
                    stream.write_all(b"220 go on\r\n").await.unwrap();
                    return (said, Some(stream.into_inner()));
                }
                (false, "DATA") => "354 go on",
                (false, _) => "250 ok",
            };
            letter = answer == "354 go on";
            stream.write_all(format!("{answer}\r\n").as_bytes()).await.unwrap();
        }
    }

    /// A mail server with a certificate of its own for one connection; its port, its certificate, and what was said in clear and in
    /// secret.
    async fn serve(security: SmtpSecurity) -> (u16, CertificateDer<'static>, JoinHandle<[Vec<String>; 2]>) {
        let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let certificate = key.cert.der().clone();
        let private = PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], private)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = TlsAcceptor::from(Arc::new(config));
            let (clear, stream) = match security {
                SmtpSecurity::Tls => (Vec::new(), Some(stream)),
                _ => answer(stream, true, "250-localhost\r\n250 STARTTLS").await,
            };
            let Some(stream) = stream else { return [clear, Vec::new()] };
            let Ok(stream) = acceptor.accept(stream).await else { return [clear, Vec::new()] };
            let (secret, _) = answer(stream, security == SmtpSecurity::Tls, "250 localhost").await;
            [clear, secret]
        });
        (port, certificate, serving)
    }

    fn letter() -> Letter {
        let at = platform::Timestamp::from_seconds(1_790_000_000);
        let id = platform::LetterId::new(at, [1; 8]);
        Letter { id, to: "mika@example.org".into(), subject: "Hello".into(), body: "Hello.".into(), at }
    }

    fn place(port: u16, security: SmtpSecurity) -> SmtpPlace {
        let from = Sender::parse("misora@example.org").unwrap();
        SmtpPlace { host: "localhost".into(), port, security, from, login: None }
    }

    #[tokio::test]
    async fn a_letter_goes_in_secret_to_a_server_that_is_vouched_for() {
        for security in [SmtpSecurity::Tls, SmtpSecurity::StartTls] {
            let (port, certificate, serving) = serve(security).await;
            let mut roots = RootCertStore::empty();
            roots.add(certificate).unwrap();
            let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
            let mut smtp = Smtp::new(&place(port, security)).unwrap();
            smtp.builder.tls_connector = TlsConnector::from(Arc::new(config));
            smtp.send(&letter()).await.unwrap();
            drop(smtp);
            let [clear, secret] = serving.await.unwrap();
            assert!(!clear.iter().any(|line| line.contains("mika")), "{security:?}: {clear:?}");
            assert!(secret.iter().any(|line| line == "RCPT TO:<mika@example.org>"), "{security:?}: {secret:?}");
        }
    }

    #[tokio::test]
    async fn a_certificate_that_nobody_vouches_for_is_refused() {
        for security in [SmtpSecurity::Tls, SmtpSecurity::StartTls] {
            let (port, _, serving) = serve(security).await;
            let error = Smtp::new(&place(port, security)).unwrap().send(&letter()).await.unwrap_err();
            assert!(matches!(error, MailError::Server(mail_send::Error::Tls(_))) && !error.is_final(), "{error:?}");
            let said = serving.await.unwrap().concat();
            assert!(!said.iter().any(|line| line.contains("mika")), "{said:?}");
        }
    }

    #[test]
    fn a_sender_is_an_address_with_or_without_a_name() {
        let check = |text: &str, expected: Option<(Option<&str>, &str)>| {
            let sender = Sender::parse(text);
            assert_eq!(
                sender.as_ref().map(|sender| (sender.name.as_deref(), sender.address.as_str())),
                expected,
                "{text}"
            );
        };
        check("a@example.org", Some((None, "a@example.org")));
        check("Misora <a@example.org>", Some((Some("Misora"), "a@example.org")));
        check("\"Misora, at home\" <a@example.org>", Some((Some("Misora, at home"), "a@example.org")));
        check(" <a@example.org> ", Some((None, "a@example.org")));
        for wrong in ["", "a", "@", "a@", "@b", "a@b@c", "a b@c", "A <a@b", "a@b>", "a@b\r\nTo: c@d", "A\nB <a@b>"] {
            check(wrong, None);
        }
    }
}
