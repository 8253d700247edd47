//! What must be secret is sealed in its rows, and opens with the right key alone.

use std::time::Duration;

use platform::{EventType, IdentityId, LetterId, PasskeyId, WebhookEndpointId, WebhookSecret};
use store::{CodeOutcome, Letter, Passkey, Sealer, Store, StoreError, WebhookEndpoint};

use crate::bed::{Bed, entropy, member, raw};
use crate::on_both;

on_both!(
    no_row_holds_a_secret_in_clear,
    another_key_opens_nothing_and_is_known_at_once,
    a_letter_waits_until_it_is_taken_or_three_days_are_over,
    a_code_counts_once,
    guessing_codes_grows_slow,
    a_seed_can_be_replaced_until_a_code_confirmed_it,
    a_passkey_is_its_owners_and_counts_up,
);

async fn letter(bed: &Bed, body: &str) -> Letter {
    let letter = Letter {
        id: LetterId::new(bed.now, entropy()),
        to: "mika@example.org".into(),
        subject: "Hello".into(),
        body: body.into(),
        at: bed.now,
    };
    bed.store.create_letter(&letter).await.unwrap();
    letter
}

fn person(bed: &Bed) -> IdentityId {
    bed.member.identity()
}

fn endpoint(bed: &Bed) -> WebhookEndpoint {
    WebhookEndpoint {
        id: WebhookEndpointId::new(bed.now, entropy()),
        project: bed.project,
        name: "mine".into(),
        url: "http://127.0.0.1:9/hook".into(),
        event_types: vec![EventType::VideoCompleted],
        secret: WebhookSecret::new(*b"a secret of a webhook, 32 bytes."),
        old_secret: None,
        created_at: bed.now,
        updated_at: bed.now,
    }
}

async fn no_row_holds_a_secret_in_clear(bed: Bed) {
    let mut endpoint = endpoint(&bed);
    bed.store.create_webhook_endpoint(&endpoint).await.unwrap();
    let next = WebhookSecret::new(*b"the next secret of this webhook.");
    let until = bed.now + Duration::from_secs(60);
    bed.store.rotate_webhook_secret(bed.project, endpoint.id, &next, Some(until), bed.now).await.unwrap();
    (endpoint.old_secret, endpoint.secret) = (Some((endpoint.secret, until)), next);
    assert_eq!(bed.store.webhook_endpoint(bed.project, endpoint.id).await.unwrap(), endpoint);
    letter(&bed, "a link of accounts").await;
    bed.store.enrol_second_factor(person(&bed), b"a seed of codes", bed.now).await.unwrap();
    for (table, column) in [
        ("webhook_endpoints", "secret"),
        ("webhook_endpoints", "old_secret"),
        ("letters", "body"),
        ("second_factors", "seed"),
    ] {
        let bytes = raw::bytes(&bed.url, &format!("SELECT {column} FROM {table}")).await;
        assert!(!String::from_utf8_lossy(&bytes).contains(" of ") && bytes.len() > 32, "{table}.{column}");
    }
}

async fn another_key_opens_nothing_and_is_known_at_once(bed: Bed) {
    bed.store.check_sealer(bed.now).await.unwrap();
    bed.store.check_sealer(bed.now).await.unwrap();
    let endpoint = endpoint(&bed);
    bed.store.create_webhook_endpoint(&endpoint).await.unwrap();
    let other = Store::open(&bed.url).await.unwrap().sealed_with(Sealer::new([2; 32]));
    assert!(matches!(other.check_sealer(bed.now).await, Err(StoreError::Unsealable)));
    let read = other.webhook_endpoint(bed.project, endpoint.id).await;
    assert!(matches!(read, Err(StoreError::Unsealable)), "{read:?}");
    let none = Store::open(&bed.url).await.unwrap();
    assert!(matches!(none.webhook_endpoint(bed.project, endpoint.id).await, Err(StoreError::NoSealer)));
    assert!(matches!(none.create_webhook_endpoint(&endpoint).await, Err(StoreError::NoSealer)));
    // A secret put into another row opens nothing there.
    let twin = WebhookEndpoint { id: WebhookEndpointId::new(bed.now, entropy()), ..endpoint.clone() };
    bed.store.create_webhook_endpoint(&twin).await.unwrap();
    raw::execute(
        &bed.url,
        "UPDATE webhook_endpoints SET secret = (SELECT secret FROM webhook_endpoints ORDER BY id LIMIT 1)",
    )
    .await;
    let read = [
        bed.store.webhook_endpoint(bed.project, endpoint.id).await,
        bed.store.webhook_endpoint(bed.project, twin.id).await,
    ];
    assert_eq!(read.iter().filter(|read| read.is_ok()).count(), 1);
}

async fn a_letter_waits_until_it_is_taken_or_three_days_are_over(bed: Bed) {
    let (first, second) = (letter(&bed, "first").await, letter(&bed, "second").await);
    let claimed = bed.store.claim_letters(10, bed.now).await.unwrap();
    assert_eq!(claimed.iter().map(|waiting| &waiting.letter).collect::<Vec<_>>(), [&first, &second]);
    assert!(bed.store.claim_letters(10, bed.now).await.unwrap().is_empty(), "they are claimed");
    bed.store.letter_done(first.id).await.unwrap();
    // Whoever claimed the second is lost.
    let mut now = bed.now + Duration::from_secs(300);
    let mut attempts = 0;
    loop {
        let mut claimed = bed.store.claim_letters(10, now).await.unwrap();
        assert_eq!(claimed.len(), 1);
        let waiting = claimed.remove(0);
        assert_eq!((&waiting.letter, waiting.failed_attempts), (&second, attempts));
        attempts += 1;
        match bed.store.letter_failed(&waiting, now).await.unwrap() {
            Some(next) => now = next,
            None => break,
        }
    }
    assert!(now.since(bed.now) > Duration::from_secs(48 * 3600) && attempts > 10, "{attempts}");
    assert!(bed.store.claim_letters(10, now + Duration::from_secs(1_000_000)).await.unwrap().is_empty());
}

async fn a_code_counts_once(bed: Bed) {
    let (person, now) = (person(&bed), bed.now);
    let outcome = async |step: Option<u64>| bed.store.try_code(person, now, |_| step).await.unwrap();
    assert_eq!(outcome(Some(7)).await, CodeOutcome::NotEnrolled);
    bed.store.enrol_second_factor(person, b"seed", now).await.unwrap();
    assert_eq!(bed.store.second_factor(person).await.unwrap().unwrap().confirmed_at, None);
    assert_eq!(outcome(None).await, CodeOutcome::Refused);
    assert_eq!(outcome(Some(7)).await, CodeOutcome::Accepted);
    assert_eq!(bed.store.second_factor(person).await.unwrap().unwrap().confirmed_at, Some(now));
    for used in [7, 6] {
        assert_eq!(outcome(Some(used)).await, CodeOutcome::Refused, "{used}");
    }
    // The same code twice at once: one is taken.
    let at_once = tokio::join!(outcome(Some(8)), outcome(Some(8)));
    assert!(
        [(CodeOutcome::Accepted, CodeOutcome::Refused), (CodeOutcome::Refused, CodeOutcome::Accepted)]
            .contains(&at_once)
    );
}

async fn guessing_codes_grows_slow(bed: Bed) {
    let person = person(&bed);
    bed.store.enrol_second_factor(person, b"seed", bed.now).await.unwrap();
    let outcome = async |step: Option<u64>, now| bed.store.try_code(person, now, |_| step).await.unwrap();
    for _ in 0..5 {
        assert_eq!(outcome(None, bed.now).await, CodeOutcome::Refused);
    }
    let next = bed.now + Duration::from_secs(60);
    // Not even the right one is looked at.
    assert_eq!(outcome(Some(7), bed.now).await, CodeOutcome::Wait(next));
    assert_eq!(outcome(None, next).await, CodeOutcome::Refused);
    assert_eq!(outcome(Some(7), next).await, CodeOutcome::Wait(next + Duration::from_secs(120)));
    assert_eq!(outcome(Some(7), next + Duration::from_secs(120)).await, CodeOutcome::Accepted);
    // A right one begins the count anew.
    assert_eq!(outcome(None, next + Duration::from_secs(120)).await, CodeOutcome::Refused);
    assert_eq!(outcome(Some(8), next + Duration::from_secs(120)).await, CodeOutcome::Accepted);
}

async fn a_seed_can_be_replaced_until_a_code_confirmed_it(bed: Bed) {
    let person = person(&bed);
    for seed in [b"one", b"two"] {
        bed.store.enrol_second_factor(person, seed, bed.now).await.unwrap();
    }
    let step = |seed: &[u8]| (seed == b"two").then_some(1);
    assert_eq!(bed.store.try_code(person, bed.now, step).await.unwrap(), CodeOutcome::Accepted);
    let third = bed.store.enrol_second_factor(person, b"three", bed.now).await;
    assert!(matches!(third, Err(StoreError::Exists(_))), "{third:?}");
    bed.store.remove_second_factor(person).await.unwrap();
    assert_eq!(bed.store.second_factor(person).await.unwrap(), None);
}

async fn a_passkey_is_its_owners_and_counts_up(bed: Bed) {
    let passkey = Passkey {
        id: PasskeyId::new(bed.now, entropy()),
        identity: person(&bed),
        credential_id: vec![1, 2, 3],
        name: "phone".into(),
        transports: 5,
        static_state: vec![4],
        dynamic_state: vec![5],
        created_at: bed.now,
        last_used_at: None,
    };
    bed.store.create_passkey(&passkey).await.unwrap();
    let stranger = member(&bed.store, "stranger@example.org", bed.now).await.identity();
    let twin = Passkey { id: PasskeyId::new(bed.now, entropy()), identity: stranger, ..passkey.clone() };
    assert!(matches!(bed.store.create_passkey(&twin).await, Err(StoreError::Exists(_))));
    assert_eq!(bed.store.passkeys(person(&bed)).await.unwrap(), std::slice::from_ref(&passkey));
    assert!(bed.store.passkeys(stranger).await.unwrap().is_empty());

    assert!(bed.store.passkey_used(&passkey, &[6], bed.now).await.unwrap());
    assert!(!bed.store.passkey_used(&passkey, &[6], bed.now).await.unwrap(), "the counter was taken");
    let found = bed.store.passkey_by_credential(&[1, 2, 3]).await.unwrap().unwrap();
    assert_eq!((found.dynamic_state, found.last_used_at), (vec![6], Some(bed.now)));

    assert!(matches!(bed.store.rename_passkey(stranger, passkey.id, "mine").await, Err(StoreError::NotFound(_))));
    assert!(matches!(bed.store.delete_passkey(stranger, passkey.id).await, Err(StoreError::NotFound(_))));
    bed.store.rename_passkey(person(&bed), passkey.id, "old phone").await.unwrap();
    assert_eq!(bed.store.passkeys(person(&bed)).await.unwrap()[0].name, "old phone");
    bed.store.delete_passkey(person(&bed), passkey.id).await.unwrap();
    assert_eq!(bed.store.passkey_by_credential(&[1, 2, 3]).await.unwrap(), None);
}
