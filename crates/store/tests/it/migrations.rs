use crate::bed::{Bed, raw};
use crate::on_both;
use crate::postgres::postgres_database;
use platform::{
    ApiKeyId, BatchId, CharacterId, FileId, IdentityId, MembershipState, PasskeyId, ProjectId, Service, SessionId,
    Timestamp, TokenHash, TokenKind, VideoId, WebhookEndpointId, WebhookSecret,
};
use store::{CodeOutcome, CredentialKind, Page, Sealer, Store, StoreError, TokenState};

on_both!(migrating_again_changes_nothing, every_version_can_be_left, a_clip_is_known_by_a_post_that_was_not_erased,);

/// Rows of the tables that each version made or changed, as it wrote them. A new migration brings its file.
const FIXTURES: &[(i64, &str)] = &[
    (1, include_str!("fixtures/0001.sql")),
    (2, include_str!("fixtures/0002.sql")),
    (3, include_str!("fixtures/0003.sql")),
    (4, include_str!("fixtures/0004.sql")),
    (5, include_str!("fixtures/0005.sql")),
    (6, include_str!("fixtures/0006.sql")),
    (7, include_str!("fixtures/0007.sql")),
    (8, include_str!("fixtures/0008.sql")),
    (9, include_str!("fixtures/0009.sql")),
    (10, include_str!("fixtures/0010.sql")),
    (11, include_str!("fixtures/0011.sql")),
    (12, include_str!("fixtures/0012.sql")),
    (13, include_str!("fixtures/0013.sql")),
    (14, include_str!("fixtures/0014.sql")),
    (15, include_str!("fixtures/0015.sql")),
    (16, include_str!("fixtures/0016.sql")),
    (17, include_str!("fixtures/0017.sql")),
];

/// Tables of decisions before version 12 made one of them.
const FOLDED: [&str; 3] = ["decisions", "post_decisions", "proposed_decisions"];

async fn migrating_again_changes_nothing(bed: Bed) {
    let generation = bed.accept(bed.project).await;
    bed.store.migrate().await.unwrap();
    assert_eq!(bed.store.generation(bed.project, generation.id).await.unwrap(), generation);
}

/// An installation that began at version 1 and was used at every version up to some, then becomes one of today.
async fn every_version_can_be_left(bed: Bed) {
    for version in 1..=Store::last_version() {
        let (store, url) = used_until(&bed, version).await;
        let before = raw::counts(&url).await;
        let empty: Vec<_> = before.iter().filter(|(_, count)| *count == 0).map(|(table, _)| table).collect();
        assert!(empty.is_empty(), "no fixture fills {empty:?}, which version {version} has");

        store.migrate().await.unwrap();
        let after = raw::counts(&url).await;
        // Every decision of any table is one in the one table of today.
        let folded = |counts: &[(String, i64)]| -> i64 {
            counts.iter().filter(|(table, _)| FOLDED.contains(&table.as_str())).map(|(_, count)| count).sum()
        };
        assert_eq!(folded(&before), folded(&after), "decisions from version {version}");
        for (table, count) in before.iter().filter(|(table, _)| !FOLDED.contains(&table.as_str())) {
            let now = after.iter().find(|(name, _)| name == table).map(|(_, count)| *count);
            assert_eq!(now, Some(*count), "rows of {table} from version {version}");
        }
        still_there(&store).await;
        if version >= 2 {
            still_there_of_version_2(&store).await;
        }
        if version >= 5 {
            still_there_of_version_5(&store).await;
        }
        let chain = store.verify_audit().await.unwrap();
        assert_eq!((chain.lines, chain.broken), (1, None), "version {version}");
        store.close().await;
    }
}

/// A clip of version 13 that its file and one post have no hash of, which was deleted by who appears in it: the other post tells it.
async fn a_clip_is_known_by_a_post_that_was_not_erased(bed: Bed) {
    let (store, url) = used_until(&bed, 13).await;
    let sql = "
        INSERT INTO posts (id, author, state, visibility, link_token, caption, prompt, prompt_visibility, remix, download, comments, video,
            model, width, height, seconds, recipe, video_key, video_size, video_sha256, depth, created_at, deleted_at)
            VALUES ({uuid 0199}, {uuid 0001}, 'deleted', 'public', {bytes 99999999999999999999999999999999}, '', '', 'visible', 1, 0, 1,
            {uuid 0008}, '', 720, 1280, 4, '', '', 0, '', 0, 1700000000000000, 1700000000000000);
        UPDATE generations SET video_etag = '' WHERE id = {uuid 0008};
        UPDATE likeness_uses SET removed_at = 1700000050000000 WHERE generation = {uuid 0008};";
    raw::execute(&url, &spelt(&url, sql)).await;
    store.migrate().await.unwrap();
    assert_eq!(raw::text(&url, "SELECT sha256 FROM likeness_traces").await, "aa");
    assert_eq!(raw::number(&url, "SELECT removed_at FROM likeness_traces").await, 1_700_000_050_000_000);
    store.close().await;
}

/// An installation with rows in every table: it was used at every version up to one. Its store and address.
pub(crate) async fn used_until(bed: &Bed, version: i64) -> (Store, String) {
    let url = bed.another_database().await;
    let store = Store::open(&url).await.unwrap().sealed_with(Sealer::new([1; 32]));
    for step in 1..=version {
        store.migrate_to(step).await.unwrap();
        let fixture = FIXTURES.iter().find(|(number, _)| *number == step);
        let (_, sql) = fixture.unwrap_or_else(|| panic!("version {step} has no fixtures/{step:04}.sql"));
        raw::execute(&url, &spelt(&url, sql)).await;
    }
    (store, url)
}

/// What version 1 wrote is read by today's code.
async fn still_there(store: &Store) {
    let now = Timestamp::from_seconds(1_790_000_000);
    let id = |last: u8| std::array::from_fn(|place| if place == 15 { last } else { 0 });
    let (person, project) = (IdentityId::from_bytes(id(1)), ProjectId::from_bytes(id(4)));
    assert_eq!(store.identity_by_email("mika@example.org").await.unwrap().unwrap().id, person);
    assert_eq!(store.credential(person, CredentialKind::Password).await.unwrap().as_deref(), Some("$argon2id$…"));
    let session = store.session(TokenHash::from_bytes([1; 32]), now).await.unwrap().unwrap();
    assert_eq!((session.id, session.identity), (SessionId::from_bytes(id(2)), person));
    let code = store.one_time_token(TokenHash::from_bytes([2; 32]), TokenKind::RecoveryCode, now).await.unwrap();
    assert!(matches!(code, TokenState::Good(token) if token.identity == Some(person)));
    assert!(store.membership(person, Service::Video).await.unwrap().active().is_ok());
    assert!(store.has_administrator().await.unwrap());
    assert_eq!(store.tiers().await.unwrap().len(), 1);
    assert_eq!(store.audit(10).await.unwrap().len(), 1);
    assert_eq!(store.invites().await.unwrap().len(), 1);
    assert_eq!(store.project(project).await.unwrap().name, "clips");
    let key = store.api_key(ApiKeyId::from_bytes(id(5))).await.unwrap().unwrap();
    assert_eq!((key.project, key.allowed_ips.len()), (project, 1));
    assert_eq!(store.file(project, FileId::from_bytes(id(6))).await.unwrap().filename, "a.txt");
    assert_eq!(store.character(project, CharacterId::from_bytes(id(7))).await.unwrap().name, "Mossy");
    let generation = store.generation(project, VideoId::from_bytes(id(8))).await.unwrap();
    assert_eq!((generation.prompt.as_str(), generation.seed), ("a red boat", 7));
    assert_eq!(store.queue_depth().await.unwrap().queued, 1);
    assert_eq!(store.ledger(project, Page::default()).await.unwrap().len(), 1);
    assert_eq!(store.batch(project, BatchId::from_bytes(id(10))).await.unwrap().metadata, "{}");
    assert_eq!(store.batch_items(BatchId::from_bytes(id(10)), 0, 10).await.unwrap().len(), 1);
    assert_eq!(store.model_aliases().await.unwrap().len(), 1);
    assert_eq!(store.object_deletions(10).await.unwrap(), ["renders/old"]);

    // Secrets in clear are read, and then sealed.
    let endpoint = WebhookEndpointId::from_bytes(id(11));
    let secrets = async || {
        let endpoint = store.webhook_endpoint(project, endpoint).await.unwrap();
        (endpoint.secret, endpoint.old_secret.unwrap().0)
    };
    let expected = (WebhookSecret::new([6; 32]), WebhookSecret::new([7; 32]));
    assert_eq!(secrets().await, expected);
    assert_eq!(store.seal_webhook_secrets().await.unwrap(), 1);
    assert_eq!(store.seal_webhook_secrets().await.unwrap(), 0);
    assert_eq!(secrets().await, expected);
    assert_eq!(store.claim_deliveries(10, now).await.unwrap().len(), 1);
}

/// What version 2 wrote and sealed is read by today's code.
async fn still_there_of_version_2(store: &Store) {
    let now = Timestamp::from_seconds(1_790_000_000);
    let person = store.identity_by_email("mika@example.org").await.unwrap().unwrap().id;
    let letters = store.claim_letters(10, now).await.unwrap();
    assert_eq!(letters[0].letter.body, "open the link");
    let passkey = store.passkey_by_credential(&[1, 2]).await.unwrap().unwrap();
    assert_eq!((passkey.identity, passkey.id.bytes()[15]), (person, 0x22));
    assert_eq!(passkey.id, PasskeyId::from_bytes(passkey.id.bytes()));
    let step = |seed: &[u8]| (seed == b"12345678901234567890").then_some(8);
    assert_eq!(store.try_code(person, now, step).await.unwrap(), CodeOutcome::Accepted);
}

/// A limit that version 5 wrote ends when it said.
async fn still_there_of_version_5(store: &Store) {
    let person = store.identity_by_email("mika@example.org").await.unwrap().unwrap().id;
    let membership = store.membership(person, Service::Likeness).await.unwrap();
    let end = Timestamp::from_seconds(1_790_000_000);
    assert_eq!((membership.state, membership.limited_until), (MembershipState::Suspended, Some(end)));
    assert_eq!(membership.at(end).state, MembershipState::Active);
}

/// A fixture in the words of an engine.
fn spelt(url: &str, sql: &str) -> String {
    let sqlite = url.starts_with("sqlite:");
    let mut spelt = String::new();
    for (place, part) in sql.split('{').enumerate() {
        let Some((word, rest)) = part.split_once('}').filter(|_| place > 0) else {
            spelt.push_str(if place > 0 { "{" } else { "" });
            spelt.push_str(part);
            continue;
        };
        spelt.push_str(&match word.split_once(' ') {
            Some(("uuid", digits)) if sqlite => format!("X'{digits:0>32}'"),
            Some(("uuid", digits)) => format!("'{digits:0>32}'::uuid"),
            Some(("bytes", digits)) if sqlite => format!("X'{digits}'"),
            Some(("bytes", digits)) => format!("'\\x{digits}'::bytea"),
            _ => format!("{{{word}}}"),
        });
        spelt.push_str(rest);
    }
    spelt
}

#[tokio::test]
async fn two_servers_may_migrate_at_once() {
    let url = postgres_database().await;
    let (a, b) = (Store::open(&url).await.unwrap(), Store::open(&url).await.unwrap());
    let (first, second) = tokio::join!(a.migrate(), b.migrate());
    first.unwrap();
    second.unwrap();
    assert!(a.tiers().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_wrong_address_is_named_without_its_password() {
    for url in ["mysql://me:secret@host/db", "misora.sqlite", "sqlite:"] {
        let error = Store::open(url).await.unwrap_err();
        assert!(matches!(error, StoreError::DatabaseUrl(_)), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
