use platform::{Credits, Fingerprint, GenerationState, IdempotencyKey, LedgerKind, Quotas, RefusalCode, Tier, Words};
use store::{Accepted, Idempotency, Page, StoreError};

use crate::bed::{Bed, PRICE, member, paper, parameters};
use crate::on_both;

on_both!(
    an_accepted_request_is_queued_and_held,
    the_same_key_accepts_once,
    quotas_and_balance_refuse_and_leave_nothing,
    a_stranger_cannot_use_a_project,
);

async fn an_accepted_request_is_queued_and_held(bed: Bed) {
    let generation = bed.accept(bed.project).await;
    assert_eq!((generation.state, generation.progress.percent()), (GenerationState::Queued, 0));
    assert_eq!(generation.prompt, "a red boat");
    assert_eq!(generation.model_requested.as_str(), "sora-2");
    assert_eq!(bed.store.balance(bed.project).await.unwrap().held, PRICE);
    let kinds: Vec<_> =
        bed.store.ledger(bed.project, Page::default()).await.unwrap().iter().map(|entry| entry.kind).collect();
    assert!(kinds.contains(&LedgerKind::Hold) && kinds.contains(&LedgerKind::Grant), "{kinds:?}");
    let day = bed.store.usage_days(bed.project, bed.now.day(), bed.now.day()).await.unwrap()[0];
    assert_eq!((day.accepted, day.completed, day.seconds), (1, 0, 4));
    assert_eq!(bed.store.queue_depth().await.unwrap().queued, 1);
}

async fn the_same_key_accepts_once(bed: Bed) {
    let parameters = parameters("a red boat");
    let key = IdempotencyKey::parse("key-1").unwrap();
    let ask = async |body: &[u8], now| {
        let generations = [bed.new_generation()];
        let mut request = bed.request(bed.project, &parameters, &generations);
        let fingerprint = Fingerprint::of("POST", "/v1/videos", body);
        request.idempotency = Some(Idempotency { key: &key, fingerprint });
        bed.store.accept(bed.member, &request, now).await
    };
    let Accepted::New(first) = ask(b"a", bed.now).await.unwrap() else { panic!() };
    let Accepted::Repeated(again) = ask(b"a", bed.now).await.unwrap() else { panic!() };
    assert_eq!(first, again);
    let Err(StoreError::Refused(refusal)) = ask(b"b", bed.now).await else { panic!() };
    assert_eq!(refusal.code, RefusalCode::IdempotencyMismatch);
    let tomorrow = bed.now + std::time::Duration::from_secs(24 * 3600);
    assert!(matches!(ask(b"b", tomorrow).await.unwrap(), Accepted::New(_)));
    assert_eq!(bed.store.queue_depth().await.unwrap().queued, 2);

    // Twins at one moment: one is new, the other hears of it.
    let key = IdempotencyKey::parse("key-2").unwrap();
    let twin = async || {
        let generations = [bed.new_generation()];
        let mut request = bed.request(bed.project, &parameters, &generations);
        request.idempotency = Some(Idempotency { key: &key, fingerprint: Fingerprint::of("POST", "/v1/videos", b"a") });
        bed.store.accept(bed.member, &request, bed.now).await.unwrap()
    };
    let twins = tokio::join!(twin(), twin());
    assert!(
        matches!(twins, (Accepted::New(_), Accepted::Repeated(_)) | (Accepted::Repeated(_), Accepted::New(_))),
        "{twins:?}"
    );
}

async fn quotas_and_balance_refuse_and_leave_nothing(bed: Bed) {
    let refused = async |quotas: Quotas, metered, price: Credits, n: &str| {
        let tier = Tier { name: "default".into(), quotas, metered };
        bed.store.set_tier(&tier).await.unwrap();
        let mut parameters = parameters("a red boat");
        let words = Words { prompt: Some("a"), n: Some(n), ..Words::default() };
        parameters.n =
            platform::Parameters::of_source(&words, parameters.model.clone(), parameters.size, parameters.seconds)
                .unwrap()
                .n;
        let generations: Vec<_> = (0..parameters.n.get()).map(|_| bed.new_generation()).collect();
        let mut request = bed.request(bed.project, &parameters, &generations);
        request.price = price;
        match bed.store.accept(bed.member, &request, bed.now).await {
            Err(StoreError::Refused(refusal)) => Some(refusal.code),
            other => other.map(|_| None).unwrap(),
        }
    };
    let full = Quotas::DEFAULT;
    let rich = Credits::from_micros(2_000_000_000);
    assert_eq!(refused(full, true, rich, "1").await, Some(RefusalCode::InsufficientQuota));
    assert_eq!(refused(Quotas { most_at_once: 1, ..full }, true, PRICE, "2").await, Some(RefusalCode::InvalidValue));
    assert_eq!(
        refused(Quotas { seconds_per_day: Some(7), ..full }, true, PRICE, "2").await,
        Some(RefusalCode::InsufficientQuota)
    );
    assert_eq!(refused(Quotas { longest_seconds: 3, ..full }, true, PRICE, "1").await, Some(RefusalCode::InvalidValue));
    assert_eq!(bed.store.balance(bed.project).await.unwrap().held, Credits::ZERO);
    assert_eq!(bed.store.queue_depth().await.unwrap().queued, 0);

    let two = Quotas { concurrent_jobs: 2, ..full };
    assert_eq!(refused(two, false, rich, "2").await, None);
    assert_eq!(refused(two, false, rich, "1").await, Some(RefusalCode::RateLimitExceeded));
    bed.store.claim("w", &paper(), bed.now).await.unwrap().unwrap();
    assert_eq!(refused(two, false, rich, "1").await, Some(RefusalCode::RateLimitExceeded));
}

async fn a_stranger_cannot_use_a_project(bed: Bed) {
    let stranger = member(&bed.store, "other@example.org", bed.now).await;
    let (parameters, generations) = (parameters("a"), [bed.new_generation()]);
    let request = bed.request(bed.project, &parameters, &generations);
    let error = bed.store.accept(stranger, &request, bed.now).await.unwrap_err();
    assert!(matches!(error, StoreError::NotFound("project")), "{error}");
}
