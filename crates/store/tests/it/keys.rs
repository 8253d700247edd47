use std::time::Duration;

use platform::{ApiKey, ApiKeyId, ApiKeySecret, IpRange, KeyRefusal, LetterId, Scope, Scopes};
use store::{KeyLetter, Letter, StoreError};

use crate::bed::{Bed, entropy};
use crate::on_both;

on_both!(
    a_key_reads_back_as_it_was,
    a_rotation_overlaps_and_then_ends,
    a_warning_is_posted_once,
    a_week_ends_once,
    the_database_holds_no_key
);

fn new_key(bed: &Bed, secret: u8) -> (ApiKeySecret, ApiKey) {
    let secret = ApiKeySecret::new(ApiKeyId::new(bed.now, entropy()), [secret; 24]);
    let key = ApiKey {
        id: secret.id(),
        project: bed.project,
        name: "my program".into(),
        hash: secret.hash(),
        scopes: Scopes::ALL,
        allowed_ips: vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
        created_at: bed.now,
        expires_at: Some(bed.now + Duration::from_secs(86_400)),
        revoked_at: None,
        last_used_at: None,
        last_used_from: None,
    };
    (secret, key)
}

async fn a_key_reads_back_as_it_was(bed: Bed) {
    let (secret, key) = new_key(&bed, 1);
    bed.store.create_api_key(&key).await.unwrap();
    assert_eq!(bed.store.api_key(secret.id()).await.unwrap(), Some(key.clone()));
    assert_eq!(bed.store.api_keys(bed.project).await.unwrap(), std::slice::from_ref(&key));
    let place = Some(IpRange::around("203.0.113.7".parse().unwrap()));
    bed.store.touch_api_key(key.id, place, bed.now).await.unwrap();
    bed.store.touch_api_key(key.id, None, bed.now).await.unwrap();
    let used = bed.store.api_key(key.id).await.unwrap().unwrap();
    assert_eq!((used.last_used_at, used.last_used_from), (Some(bed.now), place));
    let other = bed.another_project("other").await;
    assert!(matches!(bed.store.revoke_api_key(other, key.id, bed.now).await, Err(StoreError::NotFound(_))));
    bed.store.revoke_api_key(bed.project, key.id, bed.now).await.unwrap();
    let key = bed.store.api_key(key.id).await.unwrap().unwrap();
    let from = Some("10.1.1.1".parse().unwrap());
    assert_eq!(key.verify(&secret, Scope::VideosRead, from, bed.now), Err(KeyRefusal::Revoked));
}

async fn a_rotation_overlaps_and_then_ends(bed: Bed) {
    let ((old_secret, old), (new_secret, new)) = (new_key(&bed, 1), new_key(&bed, 2));
    bed.store.create_api_key(&old).await.unwrap();
    let day = Duration::from_secs(3600);
    let error = bed.store.rotate_api_key(old.id, &new, day * 24 * 8, bed.now).await.unwrap_err();
    assert!(matches!(error, StoreError::Refused(_)));
    bed.store.rotate_api_key(old.id, &new, day, bed.now).await.unwrap();
    let from = Some("10.1.1.1".parse().unwrap());
    let verify = async |secret: &ApiKeySecret, now| {
        let key = bed.store.api_key(secret.id()).await.unwrap().unwrap();
        key.verify(secret, Scope::VideosWrite, from, now).map(|_| ())
    };
    assert_eq!((verify(&old_secret, bed.now).await, verify(&new_secret, bed.now).await), (Ok(()), Ok(())));
    assert_eq!(verify(&old_secret, bed.now + day).await, Err(KeyRefusal::Revoked));
    assert_eq!(verify(&new_secret, bed.now + day).await, Ok(()));
    let error = bed.store.rotate_api_key(old.id, &new, day, bed.now + day).await.unwrap_err();
    assert!(matches!(error, StoreError::State { .. }));
}

fn letter(bed: &Bed) -> Letter {
    let (to, subject, body) = ("mika@example.org".into(), "Your keys".into(), "…".into());
    Letter { id: LetterId::new(bed.now, entropy()), to, subject, body, at: bed.now }
}

async fn letters(bed: &Bed) -> usize {
    bed.store.claim_letters(10, bed.now + Duration::from_secs(365 * 86_400)).await.unwrap().len()
}

/// A key of a day: both warnings are due at once, and after the nearer one the other is not.
async fn a_warning_is_posted_once(bed: Bed) {
    let (_, key) = new_key(&bed, 1);
    bed.store.create_api_key(&key).await.unwrap();
    let due = async |days| bed.store.api_keys_to_warn(days, bed.now, 10).await.unwrap();
    let post = async |id, days| bed.store.post_expiry_warning(id, days, &letter(&bed)).await.unwrap();
    assert_eq!(due(14).await, [(key.clone(), "mika@example.org".to_owned())]);
    assert!(post(key.id, 14).await);
    assert!(!post(key.id, 14).await);
    assert!(due(14).await.is_empty());
    assert_eq!(due(3).await.len(), 1);
    assert!(post(key.id, 3).await);
    assert!(due(3).await.is_empty() && due(14).await.is_empty());
    assert!(!post(key.id, 14).await);
    assert_eq!(letters(&bed).await, 2);

    let (_, late) = new_key(&bed, 2);
    let expires_at = Some(bed.now + Duration::from_secs(20 * 86_400));
    bed.store.create_api_key(&ApiKey { expires_at, ..late.clone() }).await.unwrap();
    assert!(due(14).await.is_empty());
    let later = bed.now + Duration::from_secs(7 * 86_400);
    let due = async || bed.store.api_keys_to_warn(14, later, 10).await.unwrap().len();
    assert_eq!(due().await, 1);
    bed.store.revoke_api_key(bed.project, late.id, bed.now).await.unwrap();
    assert_eq!(due().await, 0);
}

async fn a_week_ends_once(bed: Bed) {
    let identity = bed.member.identity();
    let at = |seconds| bed.now + Duration::from_secs(seconds);
    let due = async |seconds| bed.store.key_letters_due(at(seconds), 10).await.unwrap();
    assert!(due(0).await.is_empty(), "nobody has a key");
    bed.store.create_api_key(&new_key(&bed, 1).1).await.unwrap();
    assert!(due(1).await.is_empty(), "the week begins");
    assert!(due(7 * 86_400).await.is_empty());
    let week = KeyLetter { identity, since: at(1) };
    assert_eq!(due(7 * 86_400 + 1).await, [week]);
    let (letter, end) = (letter(&bed), at(7 * 86_400 + 1));
    assert!(bed.store.end_key_week(week, Some(&letter), end).await.unwrap());
    assert!(!bed.store.end_key_week(week, Some(&letter), end).await.unwrap());
    assert!(due(7 * 86_400 + 2).await.is_empty());
    assert_eq!(letters(&bed).await, 1);

    assert!(bed.store.wants_key_letters(identity).await.unwrap());
    bed.store.want_key_letters(identity, false, bed.now).await.unwrap();
    assert!(!bed.store.wants_key_letters(identity).await.unwrap());
    assert!(due(21 * 86_400).await.is_empty());
    bed.store.want_key_letters(identity, true, bed.now).await.unwrap();
    let again = due(21 * 86_400).await;
    assert_eq!(again.len(), 1);
    assert!(!bed.store.end_key_week(again[0], None, at(21 * 86_400)).await.unwrap(), "there was nothing to say");
    assert!(due(21 * 86_400 + 1).await.is_empty());
}

async fn the_database_holds_no_key(bed: Bed) {
    let (secret, key) = new_key(&bed, 0xab);
    bed.store.create_api_key(&key).await.unwrap();
    let file = bed.folder.path().join("misora.sqlite");
    bed.store.close().await;
    if file.exists() {
        let bytes = std::fs::read(file).unwrap();
        let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
        assert!(holds(b"my program") && !holds(&[0xab; 24]) && !holds(secret.reveal().as_bytes()));
    }
}
