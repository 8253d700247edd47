//! What can be typed. `--help` teaches by example.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use render::{ClipSeconds, OutputSize};

use crate::device::Processor;

/// Misora (美空): prompts become signed video clips, on your own machine.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  misora serve
  misora admin key --email you@example.org
  misora generate \"a red boat sails right on the sea at dusk\" -o boat.mp4
  misora verify boat.mp4
  misora generate \"it begins to rain\" --extend boat.mp4 -o longer.mp4
  misora paper --seed 7 -o world.mp4";

/// One subcommand for each thing to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the whole product on this machine: API, worker and everything that is kept.
    Serve(ServeOptions),
    /// Render for a server that runs elsewhere, over the same database and media.
    Worker(ServeOptions),
    /// Bring the tables of the database up to date; `serve` does it too.
    Migrate(ServeOptions),
    /// Write rows and media into a folder, and the keyring into another; the server may run meanwhile.
    Backup(BackupOptions),
    /// Put a backup into an installation that is empty.
    Restore(RestoreOptions),
    /// Write everything that one person has into a ZIP; the server may run meanwhile.
    Export(ExportOptions),
    /// Bring an archive into somebody's account: one of Misora, of Sora's exporters, ChatGPT, PeerTube, Mastodon or Loops.
    Import(ImportOptions),
    /// Look after users, keys, invites, tiers, jobs and models.
    Admin(AdminOptions),
    /// Make a clip from a prompt.
    Generate(Box<GenerateOptions>),
    /// Make a film from a storyboard: shots with prompts and lengths in a document.
    Storyboard(StoryboardOptions),
    /// See which models there are, bring one here, or look into a folder.
    Models(ModelsOptions),
    /// Say who made a file or signed a receipt, when, how, and whether it is untouched.
    Verify(VerifyOptions),
    /// Draw a scene of the paper world, which the built-in model learned from.
    Paper(PaperOptions),
    /// Train a part of the built-in model.
    Train(TrainOptions),
    /// Say in words what a clip of the paper world shows.
    Caption(CaptionOptions),
    /// Measure how often the model shows what it was asked.
    Eval(EvalOptions),
    /// Make a page of clips of prompts that training never saw, as they come.
    Gallery(GalleryOptions),
}

/// Two numbers from 0 to 1, the lower one first.
fn interval(text: &str) -> Result<(f32, f32), String> {
    let ends = text.split_once(',').and_then(|(from, to)| Some((share(from).ok()?, share(to).ok()?)));
    ends.filter(|(from, to)| from <= to).ok_or_else(|| "two numbers from 0 to 1, such as 0.5,1".to_owned())
}

/// A number from 0 to 1.
fn share(text: &str) -> Result<f32, String> {
    let share = text.trim().parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "a number from 0 to 1".to_owned())
}

/// `misora serve`, and what everything that looks into the same installation needs.
#[derive(Debug, Args)]
#[command(after_help = SERVE_HELP)]
pub(crate) struct ServeOptions {
    /// A configuration file; docs/misora.example.toml says what can be in it.
    #[arg(long, value_name = "FILE", env = "MISORA_CONFIG")]
    pub config: Option<PathBuf>,
    /// A model to use instead of the built-in paper-1: a folder, a file of weights, or a name that `misora models list` shows.
    #[arg(long, value_name = "MODEL", env = "MISORA_MODEL")]
    pub model: Option<PathBuf>,
    /// The folder where everything is kept: database, media, keys, letters.
    #[arg(long, value_name = "FOLDER", env = "MISORA_HOME")]
    pub home: Option<PathBuf>,
    /// The processor that the model runs on.
    #[arg(long, value_enum, default_value_t, env = "MISORA_DEVICE")]
    pub device: Processor,
}

const SERVE_HELP: &str = "\
Every key of the file can be a variable too: MISORA_LISTEN=127.0.0.1:9000, MISORA_DATABASE_URL=postgres://…

Examples:
  misora serve
  misora serve --config /etc/misora.toml
  MISORA_LISTEN=0.0.0.0:8080 MISORA_PUBLIC_URL=https://clips.example.org misora serve";

/// `misora backup`.
#[derive(Debug, Args)]
pub(crate) struct BackupOptions {
    /// A new folder for rows and media. People's media are sealed in it, and their keys are not.
    #[arg(value_name = "FOLDER", required_unless_present = "keys")]
    pub folder: Option<PathBuf>,
    /// A folder that is brought to the state of the keyring. One is enough for all backups; keep no older state of it.
    #[arg(long, value_name = "FOLDER")]
    pub keys: Option<PathBuf>,
    #[command(flatten)]
    pub serve: ServeOptions,
}

/// `misora restore`.
#[derive(Debug, Args)]
pub(crate) struct RestoreOptions {
    /// The folder of the backup.
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,
    /// The folder of the keyring; not needed if the place of the media has its keyring still.
    #[arg(long, value_name = "FOLDER")]
    pub keys: Option<PathBuf>,
    #[command(flatten)]
    pub serve: ServeOptions,
}

/// `misora export`.
#[derive(Debug, Args)]
pub(crate) struct ExportOptions {
    /// Whose.
    #[arg(long)]
    pub email: String,
    /// The ZIP to write.
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// A part of it: account, video, social or api; several if it is said several times, everything if not at all.
    #[arg(long)]
    pub service: Vec<String>,
    /// Leave out media made before this day.
    #[arg(long, value_name = "DAY")]
    pub since: Option<String>,
    #[command(flatten)]
    pub serve: ServeOptions,
}

/// `misora import`.
#[derive(Debug, Args)]
pub(crate) struct ImportOptions {
    /// The archive, or a folder of archives that a standing export wrote.
    #[arg(value_name = "FILE")]
    pub place: PathBuf,
    /// Whose account it comes into.
    #[arg(long)]
    pub email: String,
    #[command(flatten)]
    pub serve: ServeOptions,
}

/// `misora admin`.
#[derive(Debug, Args)]
pub(crate) struct AdminOptions {
    #[command(subcommand)]
    pub command: AdminCommand,
    #[command(flatten)]
    pub serve: ServeOptions,
}

/// What an operator does at the machine itself.
#[derive(Debug, Subcommand)]
pub(crate) enum AdminCommand {
    /// Everybody, with their services.
    Users,
    /// Give somebody a role in a service.
    Role {
        /// Whom.
        #[arg(long)]
        email: String,
        /// video, social, likeness, api or assistant.
        #[arg(long)]
        service: String,
        /// member, moderator or administrator.
        #[arg(long)]
        role: String,
    },
    /// Make an API key; the person and a project too if there are none.
    Key {
        /// Whose.
        #[arg(long)]
        email: String,
        /// What to call it.
        #[arg(long, default_value = "first key")]
        name: String,
        /// Days until it ends; it does not if none are given.
        #[arg(long)]
        days: Option<u16>,
    },
    /// Somebody's keys.
    Keys {
        /// Whose.
        #[arg(long)]
        email: String,
    },
    /// End a key at once.
    RevokeKey {
        /// Its id, as `keys` shows it.
        id: String,
    },
    /// Take somebody's second factor away, who lost it with all recovery codes. Be sure who asks.
    RemoveSecondFactor {
        /// Whose.
        #[arg(long)]
        email: String,
    },
    /// Write somebody's archive into a folder, a bucket or a WebDAV folder again and again, each time with what is new.
    StandingExport {
        /// Whose.
        #[arg(long)]
        email: String,
        /// The folder; it is made if it is missing.
        #[arg(long, value_name = "FOLDER", required_unless_present_any = ["s3", "webdav"])]
        folder: Option<PathBuf>,
        /// The bucket, and behind a slash where in it. Its keys are read from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
        #[arg(long, value_name = "BUCKET", conflicts_with = "folder")]
        s3: Option<String>,
        /// The bucket's region.
        #[arg(long, default_value = "us-east-1", requires = "s3")]
        region: String,
        /// The address of the store, if it is not Amazon's.
        #[arg(long, value_name = "URL", requires = "s3")]
        endpoint: Option<String>,
        /// The address of a WebDAV folder; it is made if it is missing. Who writes there is read from WEBDAV_USER and WEBDAV_PASSWORD, or from
        /// WEBDAV_TOKEN.
        #[arg(long, value_name = "URL", conflicts_with_all = ["folder", "s3"])]
        webdav: Option<String>,
        /// Days from one archive to the next.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=90))]
        days: u32,
    },
    /// Where somebody's archives go by themselves, and how the last time went.
    StandingExports {
        /// Whose.
        #[arg(long)]
        email: String,
    },
    /// Write no more archives there. What is there stays.
    StopStandingExport {
        /// Whose.
        #[arg(long)]
        email: String,
        /// Its id, as `standing-exports` shows it.
        id: String,
    },
    /// Make a code to join with.
    Invite {
        /// How many may use it.
        #[arg(long, default_value_t = 1)]
        uses: u32,
        /// Days until it ends; it does not if none are given.
        #[arg(long)]
        days: Option<u16>,
        /// The tier that it leads to.
        #[arg(long, default_value = "default")]
        tier: String,
        /// Whom it is for.
        #[arg(long, default_value = "")]
        note: String,
    },
    /// All codes, without the codes.
    Invites,
    /// All tiers.
    Tiers,
    /// Make or change a tier; what is not given stays.
    Tier(TierOptions),
    /// How full the queue is.
    Jobs,
    /// Which names mean which models.
    Models,
    /// Let a name mean a model.
    Model {
        /// The name that clients ask for, such as sora-2.
        alias: String,
        /// The model, such as paper-1.
        model: String,
    },
    /// How often people may post, comment, write, follow, like and report.
    Limits,
    /// Change one of these limits.
    Limit {
        /// post, comment, message, follow, like or report.
        what: String,
        /// How often in an hour.
        #[arg(long)]
        per_hour: u32,
        /// How often in a day.
        #[arg(long)]
        per_day: u32,
    },
    /// The announced ends of models and services.
    Sunsets,
    /// Announce the end of a model or a service: at least 180 days away, else it waits for two administrators in the app.
    Sunset(SunsetOptions),
    /// Take an announced end back.
    WithdrawSunset {
        /// Its id, as `misora admin sunsets` has it.
        id: String,
    },
    /// The decisions about somebody, with where each stands.
    Decisions {
        /// Whom they are about.
        #[arg(long)]
        email: String,
    },
    /// Appeals that wait for an answer, the one that is due first at the top.
    Appeals,
    /// Decide an appeal, as another moderator than the one who decided.
    Appeal {
        /// Its id, as `misora admin appeals` has it.
        id: String,
        /// Who reviewed it: a moderator of the service.
        #[arg(long)]
        reviewer: String,
        /// upheld or overturned.
        #[arg(long)]
        outcome: String,
        /// Why: the person reads it.
        #[arg(long)]
        answer: String,
    },
    /// Notices that wait, the one that is due first at the top.
    Takedowns,
    /// What operators did, newest first.
    Audit {
        #[command(subcommand)]
        command: Option<AuditCommand>,
    },
}

/// `misora admin audit`.
#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Say whether the audit log is as it was written, and the first line that is not.
    Verify,
}

/// `misora admin sunset`.
#[derive(Debug, Args)]
pub(crate) struct SunsetOptions {
    /// The model that ends.
    #[arg(long, conflicts_with = "service", required_unless_present = "service")]
    pub model: Option<String>,
    /// The service that ends: video, social, likeness, api or assistant.
    #[arg(long)]
    pub service: Option<String>,
    /// In so many days.
    #[arg(long, default_value_t = 181)]
    pub days: u16,
    /// Where people can go on instead: an https address, or words.
    #[arg(long, default_value = "")]
    pub successor: String,
    /// Less than 180 days are meant.
    #[arg(long)]
    pub nearer: bool,
}

/// `misora admin tier`.
#[derive(Debug, Args)]
pub(crate) struct TierOptions {
    /// Its name.
    pub name: String,
    /// Requests in a minute.
    #[arg(long)]
    pub requests_per_minute: Option<u32>,
    /// Clips accepted and not finished at one time.
    #[arg(long)]
    pub concurrent_jobs: Option<u32>,
    /// Seconds of video in a day.
    #[arg(long)]
    pub seconds_per_day: Option<u32>,
    /// The longest clip, in seconds.
    #[arg(long)]
    pub longest_seconds: Option<u32>,
    /// The most clips in one request.
    #[arg(long)]
    pub most_at_once: Option<u32>,
    /// Who comes first: higher before lower, always.
    #[arg(long, allow_negative_numbers = true)]
    pub priority: Option<i32>,
    /// The share among projects of one priority, 1 to 1,000.
    #[arg(long)]
    pub weight: Option<u32>,
    /// Whether clips cost credits.
    #[arg(long)]
    pub metered: Option<bool>,
}

/// `misora generate`.
#[derive(Debug, Args)]
#[command(after_help = GENERATE_EXAMPLES)]
pub(crate) struct GenerateOptions {
    /// What the clip shows.
    pub prompt: String,
    /// The file to write; variations get -1, -2, … before the ending.
    #[arg(short, long, default_value = "clip.mp4", value_name = "FILE")]
    pub output: PathBuf,
    /// Everything random is drawn from it; drawn anew if it is not given.
    #[arg(long)]
    pub seed: Option<u64>,
    /// 1280x720, 720x1280, 960x960, or a small size: 256x144, 144x256, 192x192, 144x80, 80x144, 112x112.
    /// Taken from the picture or clip if there is one, else 1280x720.
    #[arg(long, value_name = "WxH")]
    pub size: Option<OutputSize>,
    /// Length in seconds: 4, 8, 12, 16 or 20. Of what is new, if there is a clip that it goes on from.
    #[arg(long, default_value = "4")]
    pub seconds: ClipSeconds,
    /// Steps of denoising; more are slower and a little finer.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=200))]
    pub steps: Option<u16>,
    /// How strictly the prompt is followed; 1 is not at all strict.
    #[arg(long, allow_negative_numbers = true)]
    pub guidance: Option<f32>,
    /// Weigh the prompt against the negative one in this part of the way alone, from its end, 0, to pure noise, 1: `0.6,1` saves an eighth
    /// of the work. docs/LOG.md says what it costs.
    #[arg(long, value_name = "FROM,TO", value_parser = interval)]
    pub guidance_interval: Option<(f32, f32)>,
    /// Leave out steps in which less than this share would change, 0 to 1: 0.1 leaves out a third of 30 steps.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub step_cache: Option<f32>,
    /// Begin so many clips and finish the one that shows most of what was asked, as far as the built-in model can tell; more are slower.
    #[arg(long, value_name = "N", conflicts_with = "clips", value_parser = clap::value_parser!(u8).range(1..=8))]
    pub candidates: Option<u8>,
    /// Say the prompt again in the words that the built-in model learned, and ask for that.
    #[arg(long)]
    pub reword: bool,
    /// What the clip should not look like.
    #[arg(long, default_value = "", value_name = "TEXT")]
    pub negative: String,
    /// A picture that becomes the first frame (PNG, JPEG or WebP).
    #[arg(long, value_name = "FILE", conflicts_with = "clips")]
    pub image: Option<PathBuf>,
    /// A picture that it ends at; with --image too, the clip goes from one to the other.
    #[arg(long, value_name = "FILE", conflicts_with = "clips")]
    pub last_image: Option<PathBuf>,
    /// A picture of someone or something that should appear; may be given up to three times.
    #[arg(long, value_name = "FILE")]
    pub reference: Vec<PathBuf>,
    /// A clip to go on from its end.
    #[arg(long, value_name = "FILE", group = "clips")]
    pub extend: Option<PathBuf>,
    /// A clip that what is new leads up to.
    #[arg(long, value_name = "FILE", group = "clips")]
    pub precede: Option<PathBuf>,
    /// Two clips: what is new leads from the end of the first to the beginning of the second.
    #[arg(long, value_names = ["FROM", "TO"], num_args = 2, group = "clips")]
    pub bridge: Vec<PathBuf>,
    /// A clip that what is new leads back to the beginning of, so that it can be played round and round.
    #[arg(long = "loop", value_name = "FILE", group = "clips")]
    pub round: Option<PathBuf>,
    /// A clip to change with the new prompt.
    #[arg(long, value_name = "FILE", group = "clips")]
    pub edit: Option<PathBuf>,
    /// How far an edit may go: 0 leaves the clip alone, 1 replaces it.
    #[arg(long, default_value_t = 0.7, requires = "edit", allow_negative_numbers = true)]
    pub strength: f32,
    /// How many variations to make, with seeds one after the other.
    #[arg(short = 'n', long = "count", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub count: u16,
    /// Keep the model's own small size.
    #[arg(long)]
    pub no_upscale: bool,
    /// Additions to the weights of an open model (LoRA), with how much of it after a colon; may be given several times.
    #[arg(long, value_name = "FILE[:WEIGHT]")]
    pub lora: Vec<String>,
    /// How an open model moves from noise to a clip; its own way if it is not given.
    #[arg(long, value_enum)]
    pub solver: Option<Solver>,
    /// How far an open model's timesteps are moved towards noise.
    #[arg(long)]
    pub shift: Option<f64>,
    /// What an open model multiplies in: what its weights have and this processor is fast in, if it is not given.
    #[arg(long, value_enum)]
    pub precision: Option<Precision>,
    /// Leave out the moving visible mark. The Content Credentials stay.
    #[arg(long)]
    pub no_visible_mark: bool,
    /// Tell the result as JSON on standard output.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub places: Places,
}

/// `misora storyboard`.
#[derive(Debug, Args)]
#[command(after_help = STORYBOARD_HELP)]
pub(crate) struct StoryboardOptions {
    /// The document; pictures in it are found from its folder.
    #[arg(value_name = "FILE")]
    pub document: PathBuf,
    /// The film to write.
    #[arg(short, long, default_value = "film.mp4", value_name = "FILE")]
    pub output: PathBuf,
    /// Keep the model's own small size.
    #[arg(long)]
    pub no_upscale: bool,
    /// Leave out the moving visible mark. The Content Credentials stay.
    #[arg(long)]
    pub no_visible_mark: bool,
    /// Tell the result as JSON on standard output.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub places: Places,
}

const STORYBOARD_HELP: &str = "\
A storyboard is JSON:
  { \"storyboard\": 1, \"title\": \"A boat goes home\", \"size\": \"1280x720\", \"seed\": 7,
    \"shots\": [
      { \"prompt\": \"a red boat sails right on the sea\", \"seconds\": 8 },
      { \"prompt\": \"a red boat in the rain\", \"join\": \"continue\" },
      { \"prompt\": \"a white house at night\", \"image\": \"house.png\", \"seed\": 3 } ] }
A shot has 4, 8, 12, 16 or 20 seconds. It is cut to, or with \"join\": \"continue\" the picture moves on from the one before.
The same document gives the same film again on the same machine, and the film carries its document.";

const GENERATE_EXAMPLES: &str = "\
Examples:
  misora generate \"a blue bird flies up over the mountains\" --seed 3 -o bird.mp4
  misora generate \"a cat in the snow\" --size 720x1280 --seconds 8 -n 4
  misora generate \"my dog chasing a frisbee at the beach\" --reword
  misora generate \"the heart grows\" --image first.png -o heart.mp4
  misora generate \"it starts to rain\" --extend boat.mp4 -o longer.mp4
  misora generate \"the boat comes near\" --precede boat.mp4 -o earlier.mp4
  misora generate \"a boat on the sea\" --loop boat.mp4 -o round.mp4
  misora generate \"the boat becomes a fish\" --bridge boat.mp4 fish.mp4 -o both.mp4
  misora generate \"a green boat\" --edit boat.mp4 --strength 0.6 -o green.mp4";

/// Ways from noise to a clip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Solver {
    /// Second order, with a corrector.
    Unipc,
    /// First order: what models of few steps were distilled for.
    Euler,
}

/// What the transformer of an open model multiplies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Precision {
    /// 32 bits: the reference's numbers.
    F32,
    /// 16 bits, sums in 32; half the memory.
    Bf16,
    /// 8 bits with scales, sums in 32: a quarter of the memory, the fastest and the least exact.
    Int8,
}

/// `misora models`.
#[derive(Debug, Args)]
#[command(after_help = MODELS_EXAMPLES)]
pub(crate) struct ModelsOptions {
    #[command(subcommand)]
    pub command: ModelsCommand,
}

/// What can be done with models.
#[derive(Debug, Subcommand)]
pub(crate) enum ModelsCommand {
    /// All names, and whether the model is here.
    List(ListOptions),
    /// Say what a folder or file is, and what is missing or damaged.
    Inspect(InspectOptions),
    /// Bring a model here; goes on with what was begun.
    Pull(PullOptions),
}

const MODELS_EXAMPLES: &str = "\
Examples:
  misora models list
  misora models pull wan2.1-t2v-1.3b
  misora models inspect /data/Wan2.1-T2V-1.3B-Diffusers
  misora generate --model wan2.1-t2v-1.3b \"a cat on a boat\" -o cat.mp4";

/// `misora models list`.
#[derive(Debug, Args)]
pub(crate) struct ListOptions {
    /// The folder of this installation, which pulled models lie in.
    #[arg(long, value_name = "FOLDER", env = "MISORA_HOME")]
    pub home: Option<PathBuf>,
}

/// `misora models inspect`.
#[derive(Debug, Args)]
pub(crate) struct InspectOptions {
    /// A folder, a file of weights, or the name of a pulled model.
    pub model: PathBuf,
    /// The folder of this installation, which pulled models lie in.
    #[arg(long, value_name = "FOLDER", env = "MISORA_HOME")]
    pub home: Option<PathBuf>,
}

/// `misora models pull`.
#[derive(Debug, Args)]
pub(crate) struct PullOptions {
    /// A name that `misora models list` shows, or OWNER/NAME of a repository.
    pub name: String,
    /// The hub to pull from.
    #[arg(long, value_name = "URL", env = "MISORA_HUB")]
    pub hub: Option<String>,
    /// A branch, a tag or a commit.
    #[arg(long, default_value = "main")]
    pub revision: String,
    /// The folder of this installation, which pulled models lie in.
    #[arg(long, value_name = "FOLDER", env = "MISORA_HOME")]
    pub home: Option<PathBuf>,
}

/// Where the model and the keys are.
#[derive(Debug, Args)]
pub(crate) struct Places {
    /// A model to use instead of the built-in paper-1: a folder, a file of weights, or a name that `misora models list` shows.
    #[arg(long, value_name = "MODEL", env = "MISORA_MODEL")]
    pub model: Option<PathBuf>,
    /// The folder with this installation's signing key; made on first use.
    #[arg(long, value_name = "FOLDER", env = "MISORA_HOME")]
    pub home: Option<PathBuf>,
    /// The processor that the model runs on.
    #[arg(long, value_enum, default_value_t, env = "MISORA_DEVICE")]
    pub device: Processor,
}

/// `misora verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyOptions {
    /// The file.
    pub file: PathBuf,
    /// Tell it as JSON.
    #[arg(long)]
    pub json: bool,
    /// The folder with this installation's signing key.
    #[arg(long, value_name = "FOLDER", env = "MISORA_HOME")]
    pub home: Option<PathBuf>,
}

/// `misora paper`.
#[derive(Debug, Args)]
pub(crate) struct PaperOptions {
    /// Which scene.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Scenes that training never sees.
    #[arg(long)]
    pub held_out: bool,
    /// 1280x720, 720x1280, 960x960, or a small size.
    #[arg(long, default_value = "1280x720", value_name = "WxH")]
    pub size: OutputSize,
    /// The clip to write (.mp4), or with --sheet a picture of 48 scenes (.png).
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Write a contact sheet of 48 scenes, from --seed on.
    #[arg(long)]
    pub sheet: bool,
}

/// `misora gallery`.
#[derive(Debug, Args)]
pub(crate) struct GalleryOptions {
    /// A new folder for the clips, the page and the contact sheet.
    #[arg(short, long, value_name = "FOLDER")]
    pub output: PathBuf,
    /// How many clips.
    #[arg(short = 'n', long = "count", default_value_t = 48, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub count: u16,
    /// The first scene, and the first seed; the others come after it.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// 1280x720, 720x1280, 960x960, or a small size.
    #[arg(long, default_value = "1280x720", value_name = "WxH")]
    pub size: OutputSize,
    /// Length of each clip in seconds.
    #[arg(long, default_value = "4")]
    pub seconds: ClipSeconds,
    #[command(flatten)]
    pub places: Places,
}

/// `misora train`.
#[derive(Debug, Args)]
pub(crate) struct TrainOptions {
    /// Which part.
    #[arg(value_enum)]
    pub stage: TrainStage,
    /// The stage's configuration, such as configs/nano/dit.json.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// The model folder that the trained weights are written to, and the other parts read from.
    #[arg(long, value_name = "FOLDER", default_value = "models/paper-1-nano")]
    pub model: PathBuf,
    /// Checkpoints and curves; a run that was stopped goes on from here. Usually runs/nano and the stage's name.
    #[arg(long, value_name = "FOLDER")]
    pub run: Option<PathBuf>,
    /// Start the transformer or the upscaler from the weights in the model folder.
    #[arg(long)]
    pub continue_weights: bool,
    /// The processor that the model runs on.
    #[arg(long, value_enum, default_value_t, env = "MISORA_DEVICE")]
    pub device: Processor,
}

/// The parts of the model, in the order of their training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TrainStage {
    /// The autoencoder.
    Vae,
    /// The vocabulary and the text encoder.
    Text,
    /// The diffusion transformer.
    Dit,
    /// The captioner, which judges.
    Captioner,
    /// The upscaler, which draws frames five times as large.
    Upscaler,
}

/// `misora caption`.
#[derive(Debug, Args)]
pub(crate) struct CaptionOptions {
    /// The clip (MP4).
    pub file: PathBuf,
    /// Tell every attribute with its probability, as JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub places: Places,
}

/// `misora eval`.
#[derive(Debug, Args)]
pub(crate) struct EvalOptions {
    /// Which scenes are asked for.
    #[arg(long, value_enum, default_value_t = EvalSplit::HeldOut)]
    pub split: EvalSplit,
    /// How many clips.
    #[arg(short = 'n', long = "count", default_value_t = 500)]
    pub count: usize,
    /// Which ones.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// How many clips for each of: reference pictures, first frames, extensions, enlarged frames; two of them for drift.
    #[arg(long, default_value_t = 24)]
    pub details: usize,
    /// Latent frames of each clip, four seconds if nothing is said; 1 is a still.
    #[arg(long, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=60))]
    pub latent_frames: Option<usize>,
    /// Denoising steps.
    #[arg(long)]
    pub steps: Option<usize>,
    /// How strongly the prompt is followed.
    #[arg(long)]
    pub guidance: Option<f32>,
    /// As of `misora generate`.
    #[arg(long, value_name = "FROM,TO", value_parser = interval)]
    pub guidance_interval: Option<(f32, f32)>,
    /// As of `misora generate`.
    #[arg(long, value_name = "SHARE", value_parser = share, default_value_t = 0.0)]
    pub step_cache: f32,
    /// Beginnings of a clip of which the captioner chooses one to finish; with more than one, let another judge: its own choices please it.
    #[arg(long, value_name = "N", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=8))]
    pub candidates: Option<usize>,
    /// Folder of a model whose captioner judges in place of the model's own.
    #[arg(long, value_name = "FOLDER")]
    pub judge: Option<PathBuf>,
    /// Folder for the JSON and the contact sheet of failures.
    #[arg(short, long, value_name = "FOLDER", default_value = "eval")]
    pub output: PathBuf,
    #[command(flatten)]
    pub places: Places,
}

/// Which compositions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EvalSplit {
    /// Those that training never saw.
    HeldOut,
    /// Those that it saw.
    Train,
}
