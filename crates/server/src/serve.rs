//! Putting it together: from a configuration and models to a running server, and back down in order.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::serve::ListenerExt;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use platform::{CatalogueError, ModelName, Offer, Rate, Seconds, Size, Token, TokenKind};
use provenance::{SigningKey, TrustedRoots};
use render::{ClipSeconds, OutputSize};
use store::{LinkKey, Objects, OneTimeToken, Sealer, SealerError, Store, StoreError};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::app::{App, AppParts, SystemEntropy};
use crate::archive::{Archivist, ArchivistParts};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::first_clips::FirstClips;
use crate::http::router;
use crate::mail::{Mail, Outbox};
use crate::outbound::{HttpOutbound, OutboundError};
use crate::prompt_help::WordsOfModel;
use crate::smtp::{Smtp, SmtpError};
use crate::worker::{Models, Worker, WorkerOptions, WorkerSignal};
use crate::{archive, batch_runner, first_clips, housekeeping, letters, webhooks};

/// How long the link that makes the administrator works.
const SET_UP_LINK: Duration = Duration::from_secs(24 * 3600);

/// A server that listens. Dropped, it stops at once; [`Server::run`] ends it in order.
#[derive(Debug)]
pub struct Server {
    /// What its requests and loops share.
    pub app: App,
    /// Where it listens.
    pub address: SocketAddr,
    /// The one-time link that makes the administrator, as long as there is none.
    pub set_up_link: Option<String>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
    finish_within: Duration,
}

/// Why a server or worker did not start, or an operation on an installation failed.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The data folder.
    #[error("the data folder {path} cannot be made", path = path.display())]
    DataFolder {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The address.
    #[error("nothing can listen on {address}: is another server there?")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The rows or objects.
    #[error("{doing} failed")]
    Store {
        /// What was being done.
        doing: &'static str,
        /// What went wrong.
        source: StoreError,
    },
    /// The models.
    #[error("these models cannot be offered together")]
    Catalogue(#[from] CatalogueError),
    /// The HTTP client.
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    /// The mail server.
    #[error("letters cannot go through this mail server")]
    Smtp(#[from] SmtpError),
    /// The key of secrets.
    #[error("the key of secrets is missing")]
    Sealer(#[from] SealerError),
    /// Another key of secrets.
    #[error(
        "the secrets of this database were sealed with another key: put the right one into {path}, or into secrets_key \
         (MISORA_SECRETS_KEY)",
        path = .0.display()
    )]
    OtherSealer(PathBuf),
}

/// A [`StoreError`] with what was being done.
fn doing(doing: &'static str) -> impl FnOnce(StoreError) -> ServeError {
    move |source| ServeError::Store { doing, source }
}

/// What every model of the installation offers unless it says otherwise: all sizes and lengths that can be rendered.
pub fn full_offer(name: ModelName, rate: Rate) -> Offer {
    let size = |size: OutputSize| {
        let side = |pixels: u32| u16::try_from(pixels).expect("the sizes on offer are small");
        Size::new(side(size.size().width), side(size.size().height))
    };
    let seconds = |length: ClipSeconds| Seconds::new(length.get()).expect("the lengths on offer are short");
    Offer::new(name, rate, OutputSize::ALL.map(size).to_vec(), ClipSeconds::ALL.map(seconds).to_vec())
        .expect("there are sizes and lengths on offer")
}

/// Opens an installation's rows and objects.
///
/// # Errors
/// [`ServeError`].
pub async fn open(config: &Config) -> Result<(Store, Objects), ServeError> {
    let data_folder = |source| ServeError::DataFolder { path: config.data.clone(), source };
    std::fs::create_dir_all(&config.data).map_err(data_folder)?;
    let store = Store::open(&config.database_url).await.map_err(doing("opening the database"))?;
    let objects = Objects::open(&config.objects).map_err(doing("opening the place of the media"))?;
    Ok((store, objects))
}

/// The key of secrets: the configuration's, or that of the file in the data folder, which is made at first use.
fn sealer(config: &Config) -> Result<Sealer, SealerError> {
    match &config.secrets_key {
        Some(key) => Sealer::parse(key),
        None => Sealer::open_or_create(&secrets_file(config)),
    }
}

fn secrets_file(config: &Config) -> PathBuf {
    config.data.join("keys").join("secrets.key")
}

/// Gives rows and objects their key of secrets.
///
/// # Errors
/// [`ServeError`] if there is none, or another than the rows were sealed with.
pub async fn seal(store: Store, objects: Objects, config: &Config) -> Result<(Store, Objects), ServeError> {
    use crate::clock::Clock as _;
    let sealer = sealer(config)?;
    let (store, objects) = (store.sealed_with(sealer.clone()), objects.sealed_with(sealer));
    match store.check_sealer(SystemClock.now()).await {
        Err(StoreError::Unsealable) => return Err(ServeError::OtherSealer(secrets_file(config))),
        checked => checked.map_err(doing("checking the key of secrets"))?,
    }
    Ok((store, objects))
}

/// Seals what an earlier version wrote in clear.
async fn seal_webhook_secrets(store: &Store) -> Result<(), ServeError> {
    let sealed = store.seal_webhook_secrets().await.map_err(doing("sealing the secrets of webhooks"))?;
    if sealed > 0 {
        tracing::info!(endpoints = sealed, "secrets of webhooks that stood in clear are sealed now");
    }
    Ok(())
}

/// What makes archives of an installation and brings them back, beside a server that may run: `misora export` and `misora import`.
///
/// # Errors
/// [`ServeError::Outbound`].
pub fn archivist(config: &Config, store: &Store, objects: &Objects, key: SigningKey) -> Result<Archivist, ServeError> {
    let settings = config.settings();
    let parts = ArchivistParts {
        instance: settings.base_url,
        tier: settings.default_tier,
        visible_mark: settings.visible_mark,
        key,
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
        outbound: Arc::new(HttpOutbound::new(config.allow_private_webhooks)?),
        moderation: settings.moderation,
    };
    Ok(Archivist::new(store.clone(), objects.clone(), parts))
}

/// Brings the tables up to date: `misora migrate`.
///
/// # Errors
/// [`ServeError`].
pub async fn migrate(config: &Config) -> Result<(), ServeError> {
    let (store, _) = open(config).await?;
    store.migrate().await.map_err(doing("bringing the tables up to date"))?;
    store.close().await;
    Ok(())
}

/// Writes rows and media into a folder, and brings another to the state of the keyring: `misora backup`. The server may run meanwhile. The
/// folder of the signing key is in neither.
///
/// # Errors
/// [`ServeError`].
pub async fn back_up(config: &Config, folder: Option<&Path>, keys: Option<&Path>) -> Result<(), ServeError> {
    let (store, objects) = open(config).await?;
    if let Some(folder) = folder {
        store::backup(&store, &objects, folder).await.map_err(doing("the backup"))?;
    }
    // Behind the media, so that no key of theirs is missing.
    if let Some(keys) = keys {
        store::backup_keys(&objects, keys).await.map_err(doing("the backup of the keyring"))?;
    }
    store.close().await;
    Ok(())
}

/// Puts a backup where the configuration says, which must be empty but for a keyring: `misora restore`. It may be of the other kind of
/// database, and of another place of objects.
///
/// # Errors
/// [`ServeError`].
pub async fn restore(config: &Config, folder: &Path, keys: Option<&Path>) -> Result<(), ServeError> {
    let (store, objects) = open(config).await?;
    store::restore(folder, keys, &store, &objects).await.map_err(doing("the restore"))?;
    store.close().await;
    Ok(())
}

impl Server {
    /// Starts everything: tables up to date, loops, a worker for each entry of `models`, and the listener. `offers` are the models that
    /// requests may ask for, the first of which the names of the Videos API mean if nobody said otherwise, and makes the first clips.
    ///
    /// # Errors
    /// [`ServeError`].
    pub async fn start(
        config: &Config,
        offers: Vec<Offer>,
        models: Vec<Models>,
        words: Option<WordsOfModel>,
        key: SigningKey,
    ) -> Result<Self, ServeError> {
        let (store, objects) = open(config).await?;
        store.migrate().await.map_err(doing("bringing the tables up to date"))?;
        let (store, objects) = seal(store, objects, config).await?;
        seal_webhook_secrets(&store).await?;

        let cannot_listen = |source| ServeError::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(cannot_listen)?;
        let address = listener.local_addr().map_err(cannot_listen)?;

        let mut settings = config.settings();
        if config.public_url == format!("http://{}", config.listen) {
            // A port that the system chose is known only now.
            settings.base_url = format!("http://{address}");
        }
        settings.first_clips = offers.first().filter(|_| config.first_clips).and_then(FirstClips::with);
        let mail: Arc<dyn Mail> = match &config.smtp {
            Some(place) => Arc::new(Smtp::new(place)?),
            None => Arc::new(Outbox::new(config.outbox.clone())),
        };
        let app = App::new(AppParts {
            link_key: link_key(&store).await.map_err(doing("reading the key of links"))?,
            store,
            objects,
            trusted: TrustedRoots::installation(&key),
            offers: offers.clone(),
            settings,
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            mail,
            outbound: Arc::new(HttpOutbound::new(config.allow_private_webhooks)?),
            signing_key: key.clone(),
            words,
        })?;
        write_aliases(&app, config, &offers).await.map_err(doing("writing the names of models"))?;
        app.prepare().await.map_err(doing("preparing the installation"))?;
        let set_up_link = set_up_link(&app).await.map_err(doing("making the set-up link"))?;

        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        if !models.is_empty()
            && let Some(calls) = app.store.worker_calls().await.map_err(doing("listening for jobs"))?
        {
            let (shared, until) = (app.clone(), stop.clone());
            tasks.spawn(async move {
                shared.worker_signal.pass_on(&shared.store, calls, &SystemClock, &until).await;
            });
        }
        for (index, models) in models.into_iter().enumerate() {
            let worker = worker(&app.store, &app.objects, config, index, models, key.clone(), &app.worker_signal);
            let stop = stop.clone();
            tasks.spawn(async move { worker.run(&stop).await });
        }
        let looped = |app: &App| (app.clone(), stop.clone());
        let (shared, until) = looped(&app);
        tasks.spawn(async move { housekeeping::run(&shared, &until).await });
        let (shared, until) = looped(&app);
        tasks.spawn(async move { webhooks::run(&shared, &until).await });
        let (shared, until) = looped(&app);
        tasks.spawn(async move { letters::run(&shared, &until).await });
        let (shared, until) = looped(&app);
        tasks.spawn(async move { batch_runner::run(&shared, &until).await });
        let (shared, until) = looped(&app);
        tasks.spawn(async move { archive::run(&shared, &until).await });
        let (shared, until) = looped(&app);
        tasks.spawn(async move { first_clips::run(&shared, &until).await });

        let service = router(app.clone()).into_make_service_with_connect_info::<SocketAddr>();
        let until = stop.clone();
        tasks.spawn(async move {
            // Small answers leave at once: ranges of 60 KB came four times as often.
            let listener = listener.tap_io(|stream| {
                let _ = stream.set_nodelay(true);
            });
            if let Err(error) = axum::serve(listener, service).with_graceful_shutdown(until.cancelled_owned()).await {
                tracing::error!(error = &error as &dyn std::error::Error, "the listener failed");
            }
        });
        Ok(Self { app, address, set_up_link, stop, tasks, finish_within: config.finish_within })
    }

    /// Serves until `stop` is done; then takes no more connections, finishes or gives back what is being made, and closes the
    /// database.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        tokio::select! {
            () = stop => {}
            // A task ends before it is told to only by a panic, and a server without one of its loops is none.
            _ = self.tasks.join_next() => tracing::error!("a part of the server stopped by itself"),
        }
        tracing::info!("shutting down");
        self.stop.cancel();
        // A worker may take as long as it was allowed to and one step more; a connection that stays open is cut.
        let patience = self.finish_within + Duration::from_secs(5);
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(patience, ended).await.is_err() {
            tracing::warn!("not everything ended in time; leases run out by themselves");
            self.tasks.shutdown().await;
        }
        self.app.store.close().await;
    }
}

/// A worker that runs alone, against the database and the objects of the configuration, until `stop` is done: `misora worker`.
///
/// # Errors
/// [`ServeError`].
pub async fn run_worker(
    config: &Config,
    models: Models,
    key: SigningKey,
    stop: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let (store, objects) = open(config).await?;
    let (store, objects) = seal(store, objects, config).await?;
    let signal = Arc::<WorkerSignal>::default();
    let calls = store.worker_calls().await.map_err(doing("listening for jobs"))?;
    let worker = worker(&store, &objects, config, 0, models, key, &signal);
    let until = CancellationToken::new();
    let passing_on = async {
        if let Some(calls) = calls {
            signal.pass_on(&store, calls, &SystemClock, &until).await;
        }
    };
    tokio::join!(worker.run(&until), passing_on, async {
        stop.await;
        until.cancel();
    });
    store.close().await;
    Ok(())
}

fn worker(
    store: &Store,
    objects: &Objects,
    config: &Config,
    index: usize,
    models: Models,
    key: SigningKey,
    signal: &Arc<WorkerSignal>,
) -> Worker {
    let options = WorkerOptions {
        name: format!("{}-{index}", std::process::id()),
        visible_mark: config.visible_mark,
        keep_media: config.keep_media,
        finish_within: config.finish_within,
        moderation: config.moderation.clone(),
    };
    Worker::new(options, models, store.clone(), objects.clone(), key, Arc::new(SystemClock), Arc::clone(signal))
}

/// The key of signed links, made once for all nodes.
async fn link_key(store: &Store) -> Result<LinkKey, StoreError> {
    use crate::app::Entropy as _;
    use crate::clock::Clock as _;
    let mut bytes = [0; 32];
    SystemEntropy.fill(&mut bytes);
    let written = store.setting_or("link_key", &STANDARD.encode(bytes), SystemClock.now()).await?;
    let read = STANDARD.decode(&written).ok().and_then(|bytes| bytes.try_into().ok());
    let key = read.ok_or(StoreError::Corrupt { column: "link_key", value: "no 32 bytes in base64".into() })?;
    Ok(LinkKey::new(key))
}

/// The owner's names of models, as the configuration has them; the Videos API's own names mean the first model until someone says
/// otherwise.
async fn write_aliases(app: &App, config: &Config, offers: &[Offer]) -> Result<(), StoreError> {
    let known = app.store.model_aliases().await?;
    for (alias, model) in &config.aliases {
        app.store.set_model_alias(alias, Some(model), app.now()).await?;
    }
    let Some(first) = offers.first() else { return Ok(()) };
    for name in ModelName::KNOWN_ALIASES {
        let Some(alias) = ModelName::parse(name) else { continue };
        let said = known.iter().chain(&config.aliases).any(|(known, _)| *known == alias);
        if !said && offers.iter().all(|offer| offer.name != alias) {
            app.store.set_model_alias(&alias, Some(&first.name), app.now()).await?;
        }
    }
    Ok(())
}

/// A link that makes whoever opens it the administrator; nothing if there is one.
async fn set_up_link(app: &App) -> Result<Option<String>, StoreError> {
    if app.store.has_administrator().await? {
        return Ok(None);
    }
    let (now, token) = (app.now(), Token::new(TokenKind::SetUp, app.random()));
    let nobody = OneTimeToken { identity: None, subject: String::new() };
    let end = now + SET_UP_LINK;
    app.store.create_one_time_token(token.hash(), TokenKind::SetUp, &nobody, Some(end), now).await?;
    Ok(Some(format!("{}/set-up#{}", app.settings.base_url, token.reveal())))
}
