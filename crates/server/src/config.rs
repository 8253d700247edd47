//! The configuration: one TOML file and the environment, which wins. Every value has a default, a wrong one is named at start.
//!
//! A key `public_url` of the file is the variable `MISORA_PUBLIC_URL`. `docs/misora.example.toml` has all of them; the fields of
//! [`Config`] say which keys have another name or form than they.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use platform::{ModelName, Schedule, SignUpMode};
use serde::Deserialize;
use store::{ObjectsPlace, S3Place, Sealer, read_schedule};

use crate::app::Settings;
use crate::likeness_verifier::VerifierPlace;
use crate::policy::ModerationPlace;
use crate::prompt_help::PromptHelpPlace;
use crate::smtp::{Sender, SmtpPlace, SmtpSecurity};
use crate::traces::CollectorPlace;
use crate::web::languages;

/// What the owner decided, checked and complete.
#[derive(Clone, PartialEq, Eq)]
pub struct Config {
    /// Where to listen. Default `127.0.0.1:8080`: this machine alone, for a reverse proxy that speaks TLS.
    pub listen: SocketAddr,
    /// Where people find the installation. Default `http://` and where it listens.
    pub public_url: String,
    /// The folder of everything that is kept. Chosen by the caller if it is not said.
    pub data: PathBuf,
    /// `sqlite:PATH` or `postgres://…`. Default `misora.sqlite` in the data folder.
    pub database_url: String,
    /// Where media are. Keys: `objects` is a folder, by default `objects` in the data folder; or `s3_bucket`, `s3_region`,
    /// `s3_endpoint`, `s3_access_key_id` and `s3_secret_access_key`.
    pub objects: ObjectsPlace,
    /// Who may join: `open`, `invite` or `closed`, which is the default.
    pub sign_up: SignUpMode,
    /// The tier of whoever joins. Default `default`.
    pub default_tier: String,
    /// The folder that letters are written into if no mail server is named. Default `outbox` in the data folder.
    pub outbox: PathBuf,
    /// The mail server that letters go through. Keys: `mail_url` and `mail_from`; `mail_user` and `mail_password` if it asks who sends.
    pub smtp: Option<SmtpPlace>,
    /// The key that secrets in rows are sealed with, 32 bytes in base64. Default the file `keys/secrets.key` in the data folder, which
    /// is made at first use. Nodes that share rows share the key.
    pub secrets_key: Option<String>,
    /// The largest request in bytes. Default 220,000,000.
    pub max_body_bytes: u64,
    /// Bytes of uploads that may lie in memory at one time, of all requests together. Default 1,000,000,000.
    pub upload_memory_bytes: u64,
    /// The token that `/metrics` asks for. Default none: it answers this machine alone.
    pub metrics_token: Option<String>,
    /// How long finished media are kept. Key: `keep_media_hours`. Default for ever.
    pub keep_media: Option<Duration>,
    /// Whether requests may name pictures by http(s) address, which this server then fetches. Default no.
    pub allow_image_urls: bool,
    /// Whether webhooks may go to addresses inside the owner's network. Default no.
    pub allow_private_webhooks: bool,
    /// Whether a reverse proxy stands before it that writes `x-forwarded-for`. Default no.
    pub behind_proxy: bool,
    /// Which model the names of the Videos API mean: a table in the file, `sora-2=paper-1,sora-2-pro=paper-1` in the environment.
    /// Names that are not said mean the first model.
    pub aliases: Vec<(ModelName, ModelName)>,
    /// Workers in this process, each with its own copy of the models. Default 1; 0 if `misora worker` runs elsewhere.
    pub workers: u16,
    /// Whether clips carry the visible mark. Default yes.
    pub visible_mark: bool,
    /// How long running jobs may go on at a shutdown before they are given back. Key: `finish_within_seconds`. Default 10.
    pub finish_within: Duration,
    /// Whether a new installation makes a dozen clips by itself and posts them. Default yes.
    pub first_clips: bool,
    /// How long what is kept. Key: `retention`, a file like the default, which `/.well-known/retention.json` shows.
    pub schedule: Schedule,
    /// The language of what the installation says by itself: `en` or `ja`. Default `en`.
    pub language: String,
    /// Whom to write to about a decision: a mail address, or an https address.
    pub contact: Option<String>,
    /// The moderation service that is asked beside the built-in rules. Keys: `moderation_url`, and with it `moderation_key`,
    /// `moderation_model`, `moderation_timeout_seconds` (default 10) and `moderation_fails`, `closed` (default) or `open`.
    pub moderation: Option<ModerationPlace>,
    /// The language model that helps with prompts. Keys: `prompt_help_url`, `prompt_help_model`, and with them `prompt_help_key` and
    /// `prompt_help_timeout_seconds` (default 20).
    pub prompt_help: Option<PromptHelpPlace>,
    /// What looks at captures of likenesses in the place of a reviewer. Keys: `likeness_verifier_url`, `likeness_verifier_token`.
    pub likeness_verifier: Option<VerifierPlace>,
    /// The OpenTelemetry collector that traces go to. Keys: `otlp_url`, and `otlp_headers`, a table like `aliases`. Default none: nothing
    /// is sent.
    pub collector: Option<CollectorPlace>,
}

/// A configuration that cannot be, with the key and the variable that it is about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

/// The values as they are written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    listen: Option<SocketAddr>,
    public_url: Option<String>,
    data: Option<PathBuf>,
    database_url: Option<String>,
    objects: Option<PathBuf>,
    s3_bucket: Option<String>,
    s3_region: Option<String>,
    s3_endpoint: Option<String>,
    s3_access_key_id: Option<String>,
    s3_secret_access_key: Option<String>,
    sign_up: Option<WrittenSignUp>,
    default_tier: Option<String>,
    outbox: Option<PathBuf>,
    mail_url: Option<String>,
    mail_from: Option<String>,
    mail_user: Option<String>,
    mail_password: Option<String>,
    secrets_key: Option<String>,
    max_body_bytes: Option<u64>,
    upload_memory_bytes: Option<u64>,
    metrics_token: Option<String>,
    keep_media_hours: Option<u32>,
    allow_image_urls: Option<bool>,
    allow_private_webhooks: Option<bool>,
    behind_proxy: Option<bool>,
    aliases: Option<BTreeMap<String, String>>,
    workers: Option<u16>,
    visible_mark: Option<bool>,
    finish_within_seconds: Option<u32>,
    first_clips: Option<bool>,
    retention: Option<PathBuf>,
    language: Option<String>,
    contact: Option<String>,
    moderation_url: Option<String>,
    moderation_key: Option<String>,
    moderation_model: Option<String>,
    moderation_timeout_seconds: Option<u32>,
    moderation_fails: Option<WrittenFails>,
    prompt_help_url: Option<String>,
    prompt_help_model: Option<String>,
    prompt_help_key: Option<String>,
    prompt_help_timeout_seconds: Option<u32>,
    likeness_verifier_url: Option<String>,
    likeness_verifier_token: Option<String>,
    otlp_url: Option<String>,
    otlp_headers: Option<BTreeMap<String, String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WrittenFails {
    Closed,
    Open,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WrittenSignUp {
    Open,
    Invite,
    Closed,
}

/// How a variable's text becomes a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As it is, digits too.
    Text,
    /// A number or `true`, `false`.
    Plain,
    /// `a=b,c=d`.
    Pairs,
}

/// Every key.
const KEYS: &[(&str, Form)] = &[
    ("listen", Form::Text),
    ("public_url", Form::Text),
    ("data", Form::Text),
    ("database_url", Form::Text),
    ("objects", Form::Text),
    ("s3_bucket", Form::Text),
    ("s3_region", Form::Text),
    ("s3_endpoint", Form::Text),
    ("s3_access_key_id", Form::Text),
    ("s3_secret_access_key", Form::Text),
    ("sign_up", Form::Text),
    ("default_tier", Form::Text),
    ("outbox", Form::Text),
    ("mail_url", Form::Text),
    ("mail_from", Form::Text),
    ("mail_user", Form::Text),
    ("mail_password", Form::Text),
    ("secrets_key", Form::Text),
    ("max_body_bytes", Form::Plain),
    ("upload_memory_bytes", Form::Plain),
    ("metrics_token", Form::Text),
    ("keep_media_hours", Form::Plain),
    ("allow_image_urls", Form::Plain),
    ("allow_private_webhooks", Form::Plain),
    ("behind_proxy", Form::Plain),
    ("aliases", Form::Pairs),
    ("workers", Form::Plain),
    ("visible_mark", Form::Plain),
    ("finish_within_seconds", Form::Plain),
    ("first_clips", Form::Plain),
    ("retention", Form::Text),
    ("language", Form::Text),
    ("contact", Form::Text),
    ("moderation_url", Form::Text),
    ("moderation_key", Form::Text),
    ("moderation_model", Form::Text),
    ("moderation_timeout_seconds", Form::Plain),
    ("moderation_fails", Form::Text),
    ("prompt_help_url", Form::Text),
    ("prompt_help_model", Form::Text),
    ("prompt_help_key", Form::Text),
    ("prompt_help_timeout_seconds", Form::Plain),
    ("likeness_verifier_url", Form::Text),
    ("likeness_verifier_token", Form::Text),
    ("otlp_url", Form::Text),
    ("otlp_headers", Form::Pairs),
];

/// Variables of this program that are not for the server.
const OTHERS: [&str; 4] = ["HOME", "MODEL", "CONFIG", "LOG_FORMAT"];

impl Config {
    /// Reads a file, if one is named, and the variables that begin with `MISORA_`. `data` is where everything is kept if neither
    /// says.
    ///
    /// # Errors
    /// [`ConfigError`] for the first value that cannot be.
    pub fn read(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        data: &Path,
    ) -> Result<Self, ConfigError> {
        let mut figment = Figment::new();
        if let Some(file) = file {
            if !file.is_file() {
                return Err(ConfigError(format!("there is no configuration file {}", file.display())));
            }
            figment = figment.merge(Toml::file_exact(file));
        }
        figment = figment.merge(Environment::read(environment)?);
        let written: Written = figment.extract().map_err(|error| told(&error))?;
        written.complete(data)
    }

    /// What the HTTP side needs of it.
    pub fn settings(&self) -> Settings {
        Settings {
            sign_up: self.sign_up,
            default_tier: self.default_tier.clone(),
            max_body_bytes: self.max_body_bytes,
            upload_memory_bytes: self.upload_memory_bytes,
            metrics_token: self.metrics_token.clone(),
            fetch_image_urls: self.allow_image_urls,
            private_webhooks: self.allow_private_webhooks,
            behind_proxy: self.behind_proxy,
            language: self.language.clone(),
            schedule: self.schedule.clone(),
            contact: self.contact.clone(),
            moderation: self.moderation.clone(),
            prompt_help: self.prompt_help.clone(),
            likeness_verifier: self.likeness_verifier.clone(),
            visible_mark: self.visible_mark,
            ..Settings::new(&self.public_url)
        }
    }
}

impl Written {
    fn complete(self, default_data: &Path) -> Result<Config, ConfigError> {
        let data = self.data.clone().unwrap_or_else(|| default_data.to_owned());
        let listen = self.listen.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)));
        let public_url = self.public_url.clone().unwrap_or_else(|| format!("http://{listen}"));
        if !(public_url.starts_with("http://") || public_url.starts_with("https://")) {
            return Err(wrong("public_url", "it must begin with https:// or http://"));
        }
        let database_url = match self.database_url.clone() {
            None => format!("sqlite:{}", data.join("misora.sqlite").display()),
            Some(url) if ["sqlite:", "postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) => {
                url
            }
            // The address may hold a password, so it is not repeated.
            Some(_) => return Err(wrong("database_url", "write sqlite:PATH or postgres://…")),
        };
        let max_body_bytes = self.max_body_bytes.unwrap_or(220_000_000);
        let upload_memory_bytes = self.upload_memory_bytes.unwrap_or(max_body_bytes.max(1_000_000_000));
        if upload_memory_bytes < max_body_bytes {
            return Err(wrong("upload_memory_bytes", "it must hold one request of max_body_bytes"));
        }
        if self.metrics_token.as_ref().is_some_and(|token| token.trim().is_empty()) {
            return Err(wrong("metrics_token", "an empty token protects nothing"));
        }
        Ok(Config {
            listen,
            public_url,
            database_url,
            objects: self.objects_place(&data)?,
            smtp: self.smtp_place()?,
            moderation: self.moderation_place()?,
            prompt_help: self.prompt_help_place()?,
            collector: self.collector_place()?,
            secrets_key: match self.secrets_key {
                Some(key) => match Sealer::parse(&key) {
                    Ok(_) => Some(key),
                    // Not repeated: half a secret is one too.
                    Err(error) => return Err(wrong("secrets_key", &error.to_string())),
                },
                None => None,
            },
            sign_up: match self.sign_up {
                Some(WrittenSignUp::Open) => SignUpMode::Open,
                Some(WrittenSignUp::Invite) => SignUpMode::Invite,
                Some(WrittenSignUp::Closed) | None => SignUpMode::Closed,
            },
            default_tier: self.default_tier.unwrap_or_else(|| "default".into()),
            outbox: self.outbox.unwrap_or_else(|| data.join("outbox")),
            max_body_bytes,
            upload_memory_bytes,
            metrics_token: self.metrics_token,
            keep_media: self.keep_media_hours.map(|hours| Duration::from_secs(u64::from(hours) * 3600)),
            allow_image_urls: self.allow_image_urls.unwrap_or(false),
            allow_private_webhooks: self.allow_private_webhooks.unwrap_or(false),
            behind_proxy: self.behind_proxy.unwrap_or(false),
            aliases: aliases(self.aliases.unwrap_or_default())?,
            workers: self.workers.unwrap_or(1),
            visible_mark: self.visible_mark.unwrap_or(true),
            finish_within: Duration::from_secs(self.finish_within_seconds.unwrap_or(10).into()),
            first_clips: self.first_clips.unwrap_or(true),
            schedule: match &self.retention {
                Some(file) => {
                    let text = std::fs::read_to_string(file)
                        .map_err(|error| wrong("retention", &format!("{}: {error}", file.display())))?;
                    read_schedule(&text).map_err(|error| wrong("retention", &error.to_string()))?
                }
                None => Settings::new("").schedule,
            },
            language: match self.language.unwrap_or_else(|| "en".into()) {
                tag if languages().any(|known| known == tag) => tag,
                _ => {
                    let known: Vec<_> = languages().collect();
                    return Err(wrong("language", &format!("it must be one of {}", known.join(", "))));
                }
            },
            likeness_verifier: match (self.likeness_verifier_url, self.likeness_verifier_token) {
                (Some(url), token) if url.starts_with("https://") || url.starts_with("http://") => {
                    Some(VerifierPlace { url, token })
                }
                (Some(_), _) => {
                    return Err(wrong("likeness_verifier_url", "it must begin with https:// or http://"));
                }
                (None, Some(_)) => {
                    return Err(wrong("likeness_verifier_url", "a token needs an address to send it to"));
                }
                (None, None) => None,
            },
            contact: match self.contact {
                Some(contact) if !(contact.starts_with("https://") || contact.contains('@')) => {
                    return Err(wrong("contact", "write a mail address, or an address that begins with https://"));
                }
                contact => contact,
            },
            data,
        })
    }

    fn collector_place(&self) -> Result<Option<CollectorPlace>, ConfigError> {
        let headers = self.otlp_headers.clone().unwrap_or_default();
        let Some(url) = &self.otlp_url else {
            return match headers.is_empty() {
                true => Ok(None),
                false => Err(wrong("otlp_headers", "they mean nothing without otlp_url")),
            };
        };
        let address = reqwest::Url::parse(url).ok().filter(|address| matches!(address.scheme(), "http" | "https"));
        // Not repeated: someone may have written a password into it.
        let Some(mut address) = address.filter(|address| address.username().is_empty() && address.password().is_none())
        else {
            return Err(wrong("otlp_url", "write http://HOST:4318; a token has its own key, otlp_headers"));
        };
        if address.query().is_some() || address.fragment().is_some() {
            return Err(wrong("otlp_url", "nothing may follow the path"));
        }
        if !address.path().ends_with("/v1/traces") {
            let path = format!("{}/v1/traces", address.path().trim_end_matches('/'));
            address.set_path(&path);
        }
        for (name, value) in &headers {
            let fits =
                http::HeaderName::from_bytes(name.as_bytes()).is_ok() && http::HeaderValue::from_str(value).is_ok();
            if !fits {
                return Err(wrong("otlp_headers", &format!("{name:?} cannot be a header with this value")));
            }
        }
        Ok(Some(CollectorPlace { url: address.into(), headers: headers.into_iter().collect() }))
    }

    fn moderation_place(&self) -> Result<Option<ModerationPlace>, ConfigError> {
        let Some(url) = &self.moderation_url else {
            let rest = [
                ("moderation_key", self.moderation_key.is_some()),
                ("moderation_model", self.moderation_model.is_some()),
                ("moderation_timeout_seconds", self.moderation_timeout_seconds.is_some()),
                ("moderation_fails", self.moderation_fails.is_some()),
            ];
            return alone(&rest, "moderation_url");
        };
        if !is_plain_address(url) {
            return Err(wrong(
                "moderation_url",
                "write https://HOST/v1/moderations; a key has its own key, moderation_key",
            ));
        }
        let seconds = self.moderation_timeout_seconds.unwrap_or(10);
        if seconds == 0 {
            return Err(wrong("moderation_timeout_seconds", "nobody answers in no time"));
        }
        Ok(Some(ModerationPlace {
            url: url.clone(),
            key: self.moderation_key.clone(),
            model: self.moderation_model.clone(),
            timeout: Duration::from_secs(seconds.into()),
            fails_open: self.moderation_fails == Some(WrittenFails::Open),
        }))
    }

    fn prompt_help_place(&self) -> Result<Option<PromptHelpPlace>, ConfigError> {
        let Some(url) = &self.prompt_help_url else {
            let rest = [
                ("prompt_help_model", self.prompt_help_model.is_some()),
                ("prompt_help_key", self.prompt_help_key.is_some()),
                ("prompt_help_timeout_seconds", self.prompt_help_timeout_seconds.is_some()),
            ];
            return alone(&rest, "prompt_help_url");
        };
        if !is_plain_address(url) {
            return Err(wrong(
                "prompt_help_url",
                "write https://HOST/v1/chat/completions; a key has its own key, prompt_help_key",
            ));
        }
        let Some(model) = self.prompt_help_model.clone() else {
            return Err(wrong("prompt_help_model", "prompt_help_url needs it: the name of the language model"));
        };
        let seconds = self.prompt_help_timeout_seconds.unwrap_or(20);
        if seconds == 0 {
            return Err(wrong("prompt_help_timeout_seconds", "nobody answers in no time"));
        }
        let (key, timeout) = (self.prompt_help_key.clone(), Duration::from_secs(seconds.into()));
        Ok(Some(PromptHelpPlace { url: url.clone(), key, model, timeout }))
    }

    fn smtp_place(&self) -> Result<Option<SmtpPlace>, ConfigError> {
        let Some(url) = &self.mail_url else {
            let rest = [
                ("mail_from", self.mail_from.is_some()),
                ("mail_user", self.mail_user.is_some()),
                ("mail_password", self.mail_password.is_some()),
            ];
            return alone(&rest, "mail_url");
        };
        // The address is not repeated: someone may have written a password into it.
        let refused = || wrong("mail_url", "write smtps://HOST for TLS, or smtp://HOST for STARTTLS");
        let url = reqwest::Url::parse(url).map_err(|_| refused())?;
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(refused)?.to_owned();
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("mail_url", "name and password have their own keys, mail_user and mail_password"));
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("mail_url", "nothing may follow the host and the port"));
        }
        let (security, port) = match url.scheme() {
            "smtps" => (SmtpSecurity::Tls, 465),
            // Nobody listens in between on one machine, and its own mail server seldom has a certificate.
            "smtp" if is_loopback(&host) => (SmtpSecurity::Plain, 25),
            "smtp" => (SmtpSecurity::StartTls, 587),
            _ => return Err(refused()),
        };
        let login = match (self.mail_user.clone(), self.mail_password.clone()) {
            (Some(user), Some(password)) => Some((user, password)),
            (None, None) => None,
            (Some(_), None) => return Err(wrong("mail_password", "mail_user needs it")),
            (None, Some(_)) => return Err(wrong("mail_user", "mail_password needs it")),
        };
        let from = self.mail_from.as_deref().ok_or_else(|| wrong("mail_from", "mail_url needs it"))?;
        let from =
            Sender::parse(from).ok_or_else(|| wrong("mail_from", "write you@example.org or Name <you@example.org>"))?;
        Ok(Some(SmtpPlace { host, port: url.port().unwrap_or(port), security, from, login }))
    }

    fn objects_place(&self, data: &Path) -> Result<ObjectsPlace, ConfigError> {
        let Some(bucket) = self.s3_bucket.clone() else {
            let rest = [
                ("s3_region", &self.s3_region),
                ("s3_endpoint", &self.s3_endpoint),
                ("s3_access_key_id", &self.s3_access_key_id),
                ("s3_secret_access_key", &self.s3_secret_access_key),
            ];
            if let Some((key, _)) = rest.iter().find(|(_, value)| value.is_some()) {
                return Err(wrong(key, "it means nothing without s3_bucket"));
            }
            return Ok(ObjectsPlace::Folder(self.objects.clone().unwrap_or_else(|| data.join("objects"))));
        };
        if self.objects.is_some() {
            return Err(wrong("objects", "media are kept in a folder or in s3_bucket, not in both"));
        }
        let needed = |key, value: &Option<String>| value.clone().ok_or_else(|| wrong(key, "s3_bucket needs it"));
        Ok(ObjectsPlace::S3(S3Place {
            bucket,
            region: self.s3_region.clone().unwrap_or_else(|| "us-east-1".into()),
            endpoint: self.s3_endpoint.clone(),
            access_key_id: needed("s3_access_key_id", &self.s3_access_key_id)?,
            secret_access_key: needed("s3_secret_access_key", &self.s3_secret_access_key)?,
        }))
    }
}

/// Whether a host is this machine.
fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn aliases(written: BTreeMap<String, String>) -> Result<Vec<(ModelName, ModelName)>, ConfigError> {
    let name = |text: &str| {
        ModelName::parse(text)
            .ok_or_else(|| wrong("aliases", &format!("{text:?} is no name: 1 to 64 of a-z A-Z 0-9 . _ - /")))
    };
    written.iter().map(|(alias, model)| Ok((name(alias)?, name(model)?))).collect()
}

/// A value that cannot be, with both of its names.
fn wrong(key: &str, why: &str) -> ConfigError {
    ConfigError(format!("{key} (MISORA_{}): {why}", key.to_uppercase()))
}

/// Figment's error, with the key, the variable and the file that it is about.
fn told(error: &figment::Error) -> ConfigError {
    let place = error.metadata.as_ref().and_then(|metadata| metadata.source.as_ref());
    let place = place.map_or(String::new(), |source| format!("{source}: "));
    match error.path.first() {
        Some(key) => ConfigError(format!("{place}{}", wrong(key, &error.kind.to_string()))),
        None => ConfigError(format!("{place}{}", error.kind)),
    }
}

/// The variables, as figment reads them.
struct Environment(Dict);

impl Environment {
    fn read(variables: impl IntoIterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let mut values = Dict::new();
        for (name, text) in variables {
            let Some(rest) = name.strip_prefix("MISORA_") else { continue };
            if OTHERS.contains(&rest) || rest.starts_with("TEST_") {
                continue;
            }
            let key = rest.to_lowercase();
            let Some((key, form)) = KEYS.iter().find(|(known, _)| *known == key) else {
                let known: Vec<_> = KEYS.iter().map(|(key, _)| format!("MISORA_{}", key.to_uppercase())).collect();
                return Err(ConfigError(format!("{name} is no variable of this program: {}", known.join(", "))));
            };
            let value = match form {
                Form::Text => Value::from(text),
                Form::Plain => plain(text),
                Form::Pairs => Value::from(pairs(key, &text)?),
            };
            values.insert((*key).to_owned(), value);
        }
        Ok(Self(values))
    }
}

/// A number, `true` or `false`. Another text stays one, and is refused with the type that is wanted.
fn plain(text: String) -> Value {
    match (text.parse::<u64>(), text.parse::<bool>()) {
        (Ok(number), _) => Value::from(number),
        (_, Ok(flag)) => Value::from(flag),
        _ => Value::from(text),
    }
}

fn pairs(key: &str, text: &str) -> Result<Dict, ConfigError> {
    let pair = |pair: &str| match pair.split_once('=') {
        Some((name, value)) => Ok((name.trim().to_owned(), Value::from(value.trim()))),
        None => Err(wrong(key, &format!("{pair:?} is not of the form NAME=VALUE"))),
    };
    text.split(',').filter(|part| !part.trim().is_empty()).map(pair).collect()
}

impl Provider for Environment {
    fn metadata(&self) -> Metadata {
        Metadata::named("the environment")
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::default().collect(self.0.clone()))
    }
}

impl std::fmt::Debug for Config {
    /// Addresses of databases hold passwords, so only what is no secret is told.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("listen", &self.listen)
            .field("public_url", &self.public_url)
            .field("data", &self.data)
            .field("objects", &self.objects)
            .finish_non_exhaustive()
    }
}

/// Nothing, where the key that the others go with is not said, unless one of them is.
fn alone<T>(rest: &[(&str, bool)], without: &str) -> Result<Option<T>, ConfigError> {
    match rest.iter().find(|(_, said)| *said) {
        Some((key, _)) => Err(wrong(key, &format!("it means nothing without {without}"))),
        None => Ok(None),
    }
}

/// Whether it is an http(s) address without a name or password in it, which are not repeated in messages.
fn is_plain_address(url: &str) -> bool {
    let address = reqwest::Url::parse(url).ok().filter(|address| matches!(address.scheme(), "http" | "https"));
    address.is_some_and(|address| address.username().is_empty() && address.password().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::read(None, variables, Path::new("/data"))
    }

    #[test]
    fn nothing_said_means_this_machine_alone() {
        let config = read(&[("PATH", "/bin")]).unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.public_url, "http://127.0.0.1:8080");
        assert_eq!(config.database_url, "sqlite:/data/misora.sqlite");
        assert_eq!(config.objects, ObjectsPlace::Folder("/data/objects".into()));
        assert_eq!((config.sign_up, config.workers), (SignUpMode::Closed, 1));
    }

    #[test]
    fn the_documented_file_says_the_defaults() {
        let file = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/misora.example.toml"));
        assert_eq!(Config::read(Some(file), [], Path::new("/data")), read(&[]));
        let text = std::fs::read_to_string(file).unwrap();
        let missing: Vec<_> = KEYS
            .iter()
            .map(|(key, _)| *key)
            .filter(|key| !text.contains(key) && !["data", "objects"].contains(key))
            .collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn every_key_can_be_said_in_the_environment() {
        for (key, form) in KEYS {
            let value = match (*key, form) {
                ("listen", _) => "0.0.0.0:80",
                ("public_url", _) => "https://example.org",
                ("database_url", _) => "postgres://localhost/misora",
                ("sign_up", _) => "invite",
                (
                    "allow_image_urls" | "allow_private_webhooks" | "behind_proxy" | "visible_mark" | "first_clips",
                    _,
                ) => "true",
                ("upload_memory_bytes", _) => "300000000",
                ("aliases", _) => "sora-2=paper-1, sora-2-pro=paper-1",
                ("otlp_url", _) => "http://localhost:4318",
                ("otlp_headers", _) => "authorization=Bearer 7",
                ("language", _) => "ja",
                ("contact", _) => "help@example.org",
                ("likeness_verifier_url", _) => "https://verifier.example.org",
                ("retention", _) => concat!(env!("CARGO_MANIFEST_DIR"), "/../store/src/retention.json"),
                ("moderation_url", _) => "https://watch.example.org/v1/moderations",
                ("moderation_fails", _) => "open",
                ("prompt_help_url", _) => "https://words.example.org/v1/chat/completions",
                ("mail_url", _) => "smtps://mail.example.org",
                ("mail_from", _) => "Misora <misora@example.org>",
                ("secrets_key", _) => "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=",
                _ => "7",
            };
            let mut variables = vec![(format!("MISORA_{}", key.to_uppercase()), value.to_owned())];
            if key.starts_with("s3_") {
                for rest in ["MISORA_S3_BUCKET", "MISORA_S3_ACCESS_KEY_ID", "MISORA_S3_SECRET_ACCESS_KEY"] {
                    variables.push((rest.into(), "7".into()));
                }
            }
            if key.starts_with("moderation_") {
                variables.insert(0, ("MISORA_MODERATION_URL".into(), "http://localhost:9/v1/moderations".into()));
            }
            if key.starts_with("prompt_help_") {
                variables.insert(0, ("MISORA_PROMPT_HELP_URL".into(), "http://localhost:9/v1/chat/completions".into()));
                variables.insert(0, ("MISORA_PROMPT_HELP_MODEL".into(), "small".into()));
            }
            if *key == "likeness_verifier_token" {
                variables.push(("MISORA_LIKENESS_VERIFIER_URL".into(), "https://verifier.example.org".into()));
            }
            if *key == "otlp_headers" {
                variables.push(("MISORA_OTLP_URL".into(), "http://localhost:4318".into()));
            }
            if key.starts_with("mail_") {
                for (rest, value) in [("URL", "smtp://mail.example.org"), ("FROM", "misora@example.org")] {
                    variables.insert(0, (format!("MISORA_MAIL_{rest}"), value.into()));
                }
                for rest in ["MISORA_MAIL_USER", "MISORA_MAIL_PASSWORD"] {
                    variables.push((rest.into(), "7".into()));
                }
            }
            let config = Config::read(None, variables, Path::new("/data"));
            assert!(config.is_ok(), "{key}: {config:?}");
        }
    }

    #[test]
    fn a_wrong_value_is_named() {
        let check = |variable: (&str, &str), expected: &str| {
            let error = read(&[variable]).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(("MISORA_LISTEN", "everywhere"), "listen (MISORA_LISTEN)");
        check(("MISORA_WORKERS", "many"), "workers (MISORA_WORKERS)");
        check(("MISORA_WORKRES", "1"), "MISORA_WORKRES is no variable of this program");
        check(("MISORA_SIGN_UP", "maybe"), "sign_up (MISORA_SIGN_UP)");
        check(("MISORA_FIRST_CLIPS", "some"), "first_clips (MISORA_FIRST_CLIPS)");
        check(("MISORA_LANGUAGE", "xx"), "language (MISORA_LANGUAGE): it must be one of en, ja");
        check(
            ("MISORA_DATABASE_URL", "mysql://me:secret@host/"),
            "database_url (MISORA_DATABASE_URL): write sqlite:PATH",
        );
        check(("MISORA_S3_BUCKET", "clips"), "s3_access_key_id (MISORA_S3_ACCESS_KEY_ID): s3_bucket needs it");
        check(("MISORA_S3_REGION", "eu"), "s3_region (MISORA_S3_REGION): it means nothing without s3_bucket");
        check(("MISORA_UPLOAD_MEMORY_BYTES", "7"), "it must hold one request of max_body_bytes");
        check(("MISORA_METRICS_TOKEN", ""), "metrics_token (MISORA_METRICS_TOKEN)");
        check(("MISORA_OTLP_HEADERS", "a=b"), "otlp_headers (MISORA_OTLP_HEADERS): they mean nothing without otlp_url");
        check(("MISORA_OTLP_URL", "localhost:4318"), "otlp_url (MISORA_OTLP_URL): write http://HOST:4318");
        check(("MISORA_MODERATION_FAILS", "open"), "it means nothing without moderation_url");
        check(("MISORA_MODERATION_URL", "watch.example.org"), "moderation_url (MISORA_MODERATION_URL): write https://");
        check(("MISORA_PROMPT_HELP_KEY", "k"), "it means nothing without prompt_help_url");
        check(("MISORA_PROMPT_HELP_URL", "https://me:secret@host/"), "prompt_help_url (MISORA_PROMPT_HELP_URL): write");
        check(("MISORA_PROMPT_HELP_URL", "https://host/"), "prompt_help_model (MISORA_PROMPT_HELP_MODEL)");
        check(("MISORA_ALIASES", "sora-2"), "aliases (MISORA_ALIASES): \"sora-2\" is not of the form NAME=VALUE");
    }

    #[test]
    fn traces_go_where_the_owner_says_and_nowhere_else() {
        let place = |url: &str| read(&[("MISORA_OTLP_URL", url)]).unwrap().collector.unwrap().url;
        assert_eq!(read(&[]).unwrap().collector, None);
        assert_eq!(place("http://127.0.0.1:4318"), "http://127.0.0.1:4318/v1/traces");
        assert_eq!(place("https://otel.example.org/api/default/"), "https://otel.example.org/api/default/v1/traces");
        assert_eq!(place("https://otel.example.org/v1/traces"), "https://otel.example.org/v1/traces");
        let error = read(&[("MISORA_OTLP_URL", "https://me:hunter2@otel.example.org")]).unwrap_err().to_string();
        assert!(error.starts_with("otlp_url (MISORA_OTLP_URL)") && !error.contains("hunter2"), "{error}");
        let headers = [("MISORA_OTLP_URL", "http://localhost:4318"), ("MISORA_OTLP_HEADERS", "authorization=Bearer a")];
        let place = read(&headers).unwrap().collector.unwrap();
        assert_eq!(place.headers, [("authorization".to_owned(), "Bearer a".to_owned())]);
    }

    #[test]
    fn mail_is_in_clear_on_this_machine_alone() {
        let check = |url: &str, security: SmtpSecurity, host: &str, port: u16| {
            let config = read(&[("MISORA_MAIL_URL", url), ("MISORA_MAIL_FROM", "misora@example.org")]).unwrap();
            let place = config.smtp.unwrap();
            assert_eq!((place.security, place.host.as_str(), place.port), (security, host, port), "{url}");
        };
        check("smtps://mail.example.org", SmtpSecurity::Tls, "mail.example.org", 465);
        check("smtps://127.0.0.1:4650", SmtpSecurity::Tls, "127.0.0.1", 4650);
        check("smtp://mail.example.org", SmtpSecurity::StartTls, "mail.example.org", 587);
        check("smtp://10.0.0.1:25", SmtpSecurity::StartTls, "10.0.0.1", 25);
        check("smtp://localhost", SmtpSecurity::Plain, "localhost", 25);
        check("smtp://127.0.0.1:2525", SmtpSecurity::Plain, "127.0.0.1", 2525);
    }

    #[test]
    fn wrong_mail_is_named_without_its_password() {
        let check = |variables: &[(&str, &str)], expected: &str| {
            let error = read(variables).unwrap_err().to_string();
            assert!(error.starts_with(expected) && !error.contains("hunter2"), "{error}");
        };
        let url = ("MISORA_MAIL_URL", "smtps://mail.example.org");
        let from = ("MISORA_MAIL_FROM", "misora@example.org");
        check(&[from], "mail_from (MISORA_MAIL_FROM): it means nothing without mail_url");
        check(&[url], "mail_from (MISORA_MAIL_FROM): mail_url needs it");
        check(&[url, ("MISORA_MAIL_FROM", "nobody")], "mail_from (MISORA_MAIL_FROM): write you@example.org");
        check(&[url, from, ("MISORA_MAIL_USER", "me")], "mail_password (MISORA_MAIL_PASSWORD): mail_user needs it");
        check(&[("MISORA_MAIL_URL", "smtps://me:hunter2@h"), from], "mail_url (MISORA_MAIL_URL): name and password");
        check(&[("MISORA_MAIL_URL", "http://hunter2"), from], "mail_url (MISORA_MAIL_URL): write smtps://HOST");
        check(&[("MISORA_MAIL_URL", "mail.example.org"), from], "mail_url (MISORA_MAIL_URL): write smtps://HOST");
        check(&[("MISORA_SECRETS_KEY", "hunter2")], "secrets_key (MISORA_SECRETS_KEY): a key of secrets is 32 bytes");
    }

    #[test]
    fn the_environment_wins_over_the_file_and_unknown_keys_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("misora.toml");
        std::fs::write(&file, "workers = 2\nsign_up = \"open\"\n[aliases]\nsora-2 = \"wan\"\n").unwrap();
        let variables = [("MISORA_WORKERS".to_owned(), "3".to_owned())];
        let config = Config::read(Some(&file), variables, Path::new("/data")).unwrap();
        assert_eq!((config.workers, config.sign_up), (3, SignUpMode::Open));
        assert_eq!(config.aliases[0].1.as_str(), "wan");

        std::fs::write(&file, "worker = 2\n").unwrap();
        let error = Config::read(Some(&file), [], Path::new("/data")).unwrap_err().to_string();
        assert!(error.contains("misora.toml") && error.contains("worker"), "{error}");
        let error = Config::read(Some(&folder.path().join("none.toml")), [], Path::new("/data")).unwrap_err();
        assert!(error.to_string().contains("there is no configuration file"));
    }
}
