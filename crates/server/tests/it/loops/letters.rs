//! Letters on their way to a mail server on this machine, which speaks just enough SMTP.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use server::letters::{deliver_due, post};
use server::{Mail, Sender, Smtp, SmtpPlace, SmtpSecurity};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::bed::Bed;

/// A mail server: what it was told, what it took, and what it answers next to a recipient.
#[derive(Clone, Default)]
struct MailServer {
    said: Arc<Mutex<Vec<String>>>,
    taken: Arc<Mutex<Vec<String>>>,
    answers: Arc<Mutex<VecDeque<&'static str>>>,
    /// What it can do, beside taking letters.
    extensions: &'static [&'static str],
}

impl MailServer {
    async fn start(extensions: &'static [&'static str]) -> (Self, u16) {
        let server = Self { extensions, ..Self::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = serving.clone();
                tokio::spawn(async move { server.converse(stream).await });
            }
        });
        (server, port)
    }

    /// One connection. Whoever leaves in the middle is let go.
    async fn converse(self, stream: TcpStream) -> std::io::Result<()> {
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read).lines();
        write.write_all(b"220 mail.test ESMTP\r\n").await?;
        while let Some(line) = lines.next_line().await? {
            self.said.lock().unwrap().push(line.clone());
            let verb = line.split([' ', ':']).next().unwrap_or_default().to_uppercase();
            let answer = match verb.as_str() {
                "EHLO" => {
                    let extensions = self.extensions.iter().map(|extension| format!("250-{extension}\r\n"));
                    format!("250-mail.test\r\n{}250 8BITMIME", extensions.collect::<String>())
                }
                // The name `misora`, the password `hunter2`.
                "AUTH" if line == "AUTH PLAIN AG1pc29yYQBodW50ZXIy" => "235 welcome".into(),
                "AUTH" => "535 who are you".into(),
                "RCPT" => self.answers.lock().unwrap().pop_front().unwrap_or("250 ok").into(),
                "DATA" => {
                    write.write_all(b"354 go on\r\n").await?;
                    let mut letter = String::new();
                    while let Some(line) = lines.next_line().await?.filter(|line| line != ".") {
                        letter.push_str(line.strip_prefix('.').unwrap_or(&line));
                        letter.push('\n');
                    }
                    self.taken.lock().unwrap().push(letter);
                    "250 taken".into()
                }
                "QUIT" => {
                    write.write_all(b"221 bye\r\n").await?;
                    return Ok(());
                }
                _ => "250 ok".to_owned(),
            };
            write.write_all(format!("{answer}\r\n").as_bytes()).await?;
        }
        Ok(())
    }

    fn taken(&self) -> Vec<String> {
        self.taken.lock().unwrap().clone()
    }

    fn said(&self) -> String {
        self.said.lock().unwrap().join("\n")
    }
}

fn place(port: u16, security: SmtpSecurity) -> SmtpPlace {
    let from = Sender::parse("Misora, at home <misora@example.org>").unwrap();
    SmtpPlace { host: "127.0.0.1".into(), port, security, from, login: None }
}

async fn bed(place: &SmtpPlace) -> Bed {
    Bed::with_mail(Arc::new(Smtp::new(place).unwrap())).await
}

#[tokio::test]
async fn a_letter_goes_through_the_mail_server_once() {
    let (server, port) = MailServer::start(&["AUTH PLAIN"]).await;
    let login = Some(("misora".to_owned(), "hunter2".to_owned()));
    let bed = bed(&SmtpPlace { login, ..place(port, SmtpSecurity::Plain) }).await;
    bed.app.mail.check().await.unwrap();
    // Lines that begin with a dot, and words of other alphabets, arrive as they are.
    post(&bed.app, "mika@example.org", "Grüße", "Hello.\n.\n..\n空 https://misora.test/x#token\n".into())
        .await
        .unwrap();
    assert!(server.taken().is_empty(), "whoever asks does not wait for the mail server");
    assert_eq!(deliver_due(&bed.app).await.unwrap(), 1);
    assert_eq!(deliver_due(&bed.app).await.unwrap(), 0);
    let taken = server.taken();
    assert_eq!(taken.len(), 1);
    let (head, body) = taken[0].split_once("\n\n").unwrap();
    for line in
        ["From: \"Misora, at home\" <misora@example.org>", "Auto-Submitted: auto-generated", "Subject: =?utf-8?"]
    {
        assert!(head.to_lowercase().contains(&line.to_lowercase()), "{head}");
    }
    assert!(head.contains("mika@example.org") && head.contains("Message-ID: <letter_"), "{head}");
    let body = decoded(head, body);
    assert_eq!(body.trim_end(), "Hello.\n.\n..\n空 https://misora.test/x#token");
    let said = server.said();
    assert!(said.contains("MAIL FROM:<misora@example.org>") && said.contains("RCPT TO:<mika@example.org>"), "{said}");
}

/// A body without its transfer encoding.
fn decoded(head: &str, body: &str) -> String {
    use base64::Engine;
    let head = head.to_lowercase();
    if head.contains("base64") {
        let text: String = body.split_whitespace().collect();
        return String::from_utf8(base64::engine::general_purpose::STANDARD.decode(text).unwrap())
            .unwrap()
            .replace('\r', "");
    }
    if !head.contains("quoted-printable") {
        return body.to_owned();
    }
    let joined = body.replace("=\n", "");
    let mut bytes = Vec::new();
    let mut rest = joined.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'=' {
            bytes.push(u8::from_str_radix(std::str::from_utf8(&after[..2]).unwrap(), 16).unwrap());
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn a_letter_waits_for_a_mail_server_that_is_busy_or_gone() {
    let (server, port) = MailServer::start(&[]).await;
    let bed = bed(&place(port, SmtpSecurity::Plain)).await;
    server.answers.lock().unwrap().extend(["451 later", "421 too busy"]);
    post(&bed.app, "mika@example.org", "Hello", "Hello.".into()).await.unwrap();
    for pause in [5, 30] {
        assert_eq!(deliver_due(&bed.app).await.unwrap(), 1);
        assert_eq!(deliver_due(&bed.app).await.unwrap(), 0, "it is not due yet");
        assert!(server.taken().is_empty());
        bed.clock.advance(Duration::from_secs(pause));
    }
    assert_eq!(deliver_due(&bed.app).await.unwrap(), 1);
    assert_eq!(server.taken().len(), 1);

    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let bed = self::bed(&place(gone, SmtpSecurity::Plain)).await;
    assert!(bed.app.mail.check().await.is_err());
    post(&bed.app, "mika@example.org", "Hello", "Hello.".into()).await.unwrap();
    deliver_due(&bed.app).await.unwrap();
    bed.clock.advance(Duration::from_secs(5));
    assert_eq!(deliver_due(&bed.app).await.unwrap(), 1, "it is still there");
}

#[tokio::test]
async fn a_server_that_dies_with_a_letter_in_its_hand_loses_none() {
    let (server, port) = MailServer::start(&[]).await;
    let bed = bed(&place(port, SmtpSecurity::Plain)).await;
    post(&bed.app, "mika@example.org", "Hello", "Hello.".into()).await.unwrap();
    // Claimed, and then nothing.
    let claimed = bed.app.store.claim_letters(10, bed.app.now()).await.unwrap();
    assert_eq!((claimed.len(), deliver_due(&bed.app).await.unwrap()), (1, 0));
    bed.clock.advance(Duration::from_secs(300));
    assert_eq!(deliver_due(&bed.app).await.unwrap(), 1);
    let taken = server.taken();
    assert!(taken.len() == 1 && taken[0].contains(&claimed[0].letter.id.to_string()), "{taken:?}");
}

#[tokio::test]
async fn nobody_of_that_address_ends_it_and_a_refused_login_does_not() {
    let (server, port) = MailServer::start(&[]).await;
    let bed = bed(&place(port, SmtpSecurity::Plain)).await;
    server.answers.lock().unwrap().push_back("550 nobody of that name");
    post(&bed.app, "nobody@example.org", "Hello", "Hello.".into()).await.unwrap();
    deliver_due(&bed.app).await.unwrap();
    bed.clock.advance(Duration::from_secs(100_000));
    assert_eq!(deliver_due(&bed.app).await.unwrap(), 0, "it was given up");

    let (server, port) = MailServer::start(&["AUTH PLAIN"]).await;
    let login = Some(("misora".to_owned(), "wrong".to_owned()));
    let bed = self::bed(&SmtpPlace { login, ..place(port, SmtpSecurity::Plain) }).await;
    assert!(bed.app.mail.check().await.is_err(), "told at start");
    post(&bed.app, "mika@example.org", "Hello", "Hello.".into()).await.unwrap();
    deliver_due(&bed.app).await.unwrap();
    assert!(server.taken().is_empty() && !server.said().contains("MAIL FROM"));
    bed.clock.advance(Duration::from_secs(5));
    assert_eq!(deliver_due(&bed.app).await.unwrap(), 1, "it waits for the owner to mend the password");
}

#[tokio::test]
async fn nothing_is_said_in_clear_where_tls_was_asked_for() {
    // A server without STARTTLS, or someone in between who took the word out.
    let (server, port) = MailServer::start(&["AUTH PLAIN"]).await;
    let login = Some(("misora".to_owned(), "hunter2".to_owned()));
    let bed = bed(&SmtpPlace { login, ..place(port, SmtpSecurity::StartTls) }).await;
    post(&bed.app, "mika@example.org", "Hello", "Hello.".into()).await.unwrap();
    assert_eq!(deliver_due(&bed.app).await.unwrap(), 1);
    assert!(server.taken().is_empty() && server.said().starts_with("EHLO "), "{}", server.said());
    assert!(!server.said().contains('\n'), "{}", server.said());
    // One that says it can and cannot.
    let (server, port) = MailServer::start(&["STARTTLS", "AUTH PLAIN"]).await;
    let mail = Smtp::new(&place(port, SmtpSecurity::StartTls)).unwrap();
    assert!(mail.check().await.is_err());
    assert!(!server.said().contains("AUTH") && !server.said().contains("MAIL"), "{}", server.said());
}
