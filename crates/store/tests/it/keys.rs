use std::time::Duration;

use platform::{ApiKey, ApiKeyId, ApiKeySecret, KeyRefusal, Scope, Scopes};
use store::StoreError;

use crate::bed::{Bed, entropy};
use crate::on_both;

on_both!(a_key_reads_back_as_it_was, a_rotation_overlaps_and_then_ends, the_database_holds_no_key);

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
    };
    (secret, key)
}

async fn a_key_reads_back_as_it_was(bed: Bed) {
    let (secret, key) = new_key(&bed, 1);
    bed.store.create_api_key(&key).await.unwrap();
    assert_eq!(bed.store.api_key(secret.id()).await.unwrap(), Some(key.clone()));
    assert_eq!(bed.store.api_keys(bed.project).await.unwrap(), std::slice::from_ref(&key));
    bed.store.touch_api_key(key.id, bed.now).await.unwrap();
    assert_eq!(bed.store.api_key(key.id).await.unwrap().unwrap().last_used_at, Some(bed.now));
    let soon = bed.store.api_keys_expiring(bed.now, bed.now + Duration::from_secs(86_400)).await.unwrap();
    assert_eq!(soon.len(), 1);
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
